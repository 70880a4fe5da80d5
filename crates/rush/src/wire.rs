//! A lean HTTP/1.1 client: one keep-alive connection, one request at a time, reconnecting when it is lost.
//!
//! Knows nothing of the market. Plain HTTP only: the crowd runs beside the server, and encrypting on the same
//! machine would measure the crowd. A lost answer is said to be lost and never retried here: only the caller knows
//! whether the request may be sent again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// An answer that takes longer counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// A connection that takes longer counts as refused.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Longer answers are not read: nothing the crowd asks for is that long.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where the market is.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    host: HeaderValue,
}

impl Target {
    pub fn at(address: SocketAddr) -> Result<Self> {
        Ok(Self { address, host: HeaderValue::try_from(address.to_string())? })
    }

    /// Looks up `http://host[:port]`. Errors: another scheme, a path, a host that is not found.
    pub async fn find(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!("the crowd speaks plain http only: run it beside the market, behind its proxy"),
            _ => bail!("{url} is not a URL such as http://127.0.0.1:8080"),
        }
        if !matches!(uri.path(), "" | "/") {
            bail!("{url}: give the market's address without a path");
        }
        let authority = uri.authority().context("the URL names no host")?;
        let port = authority.port_u16().unwrap_or(80);
        let name = (authority.host().trim_matches(['[', ']']), port);
        let address =
            tokio::net::lookup_host(name).await.with_context(|| format!("cannot find {}", authority.host()))?;
        let address = address.into_iter().next().with_context(|| format!("cannot find {}", authority.host()))?;
        Ok(Self { address, host: HeaderValue::try_from(authority.as_str())? })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What is asked. Cheap to clone, so that it can be asked again.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub uri: Uri,
    pub token: Option<HeaderValue>,
    pub key: Option<HeaderValue>,
    pub body: Bytes,
}

impl Ask {
    /// `path` begins with `/v1`. Errors: a path that is none.
    pub fn get(path: &str) -> Result<Self> {
        let uri = path.parse().with_context(|| format!("{path} is not a path"))?;
        Ok(Self { method: Method::GET, uri, token: None, key: None, body: Bytes::new() })
    }

    pub fn post(path: &str, body: impl Into<Bytes>) -> Result<Self> {
        Ok(Self { method: Method::POST, body: body.into(), ..Self::get(path)? })
    }

    #[must_use]
    pub fn token(mut self, token: &HeaderValue) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Errors: a key with characters that no header may have.
    pub fn key(mut self, key: &str) -> Result<Self> {
        self.key = Some(HeaderValue::try_from(key).context("the idempotency key")?);
        Ok(self)
    }
}

/// `Authorization: Bearer …`, marked so that nothing prints it.
pub fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).context("the access token")?;
    value.set_sensitive(true);
    Ok(value)
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// The market says that it answered this before.
    pub replayed: bool,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

impl Answer {
    /// The `code` of a problem (RFC 9457), or the bare status.
    pub fn code(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Problem {
            code: String,
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => problem.code,
            Err(_) => format!("status {}", self.status.as_u16()),
        }
    }

    /// The body, when the answer is a success. Errors: anything else, in words.
    pub fn success<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            bail!("answered {} {}", self.status.as_u16(), self.code());
        }
        serde_json::from_slice(&self.body).context("the answer is not the JSON that was expected")
    }
}

/// No answer came: the connection broke or time ran out. What the server did is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// One connection. Connects when first used and after each loss.
pub struct Connection<'a> {
    target: &'a Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Connection<'a> {
    pub fn new(target: &'a Target) -> Self {
        Self { target, sender: None }
    }

    /// Connects now rather than with the first request.
    pub async fn open(&mut self) -> Result<(), Lost> {
        let alive = self.sender.as_ref().is_some_and(|sender| !sender.is_closed());
        if !alive {
            self.sender = Some(connect(self.target).await?);
        }
        Ok(())
    }

    /// Sends and waits for the answer.
    pub async fn send(&mut self, ask: &Ask) -> Result<Answer, Lost> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.exchange(ask)).await.unwrap_or(Err(Lost));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, Lost> {
        // A kept connection that the server has closed meanwhile costs no request: it is opened anew.
        let idle_closed = match &mut self.sender {
            Some(sender) => sender.ready().await.is_err(),
            None => true,
        };
        if idle_closed {
            self.sender = None;
            self.open().await?;
        }
        let request = request(ask, &self.target.host).map_err(|_| Lost)?;
        let sender = self.sender.as_mut().ok_or(Lost)?;
        let response = sender.send_request(request).await.map_err(|_| Lost)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| Lost)?.to_bytes();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Answer {
            status: head.status,
            replayed: head.headers.get(IDEMPOTENT_REPLAYED).is_some_and(|v| v == "true"),
            retry_after: retry_after.map(Duration::from_secs),
            body,
        })
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, Lost> {
    let stream = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(target.address)).await;
    let stream = stream.map_err(|_| Lost)?.map_err(|_| Lost)?;
    stream.set_nodelay(true).map_err(|_| Lost)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Lost)?;
    tokio::spawn(async move {
        // Its end shows in `sender`: the request in flight is lost, the next one reconnects.
        let _ = connection.await;
    });
    Ok(sender)
}

fn request(ask: &Ask, host: &HeaderValue) -> http::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(ask.method.clone()).uri(ask.uri.clone());
    request = request.header(HOST, host).header(ACCEPT, JSON);
    if let Some(token) = &ask.token {
        request = request.header(AUTHORIZATION, token);
    }
    if let Some(key) = &ask.key {
        request = request.header(IDEMPOTENCY_KEY, key);
    }
    if ask.method != Method::GET {
        request = request.header(CONTENT_TYPE, JSON);
    }
    request.body(Full::new(ask.body.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers each request on a connection with the next of `answers` and then hangs up.
    async fn scripted(answers: &'static [&'static str]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                for answer in answers {
                    let mut bytes = [0; 4096];
                    if stream.read(&mut bytes).await.unwrap_or(0) == 0 {
                        break;
                    }
                    stream.write_all(answer.as_bytes()).await.expect("write");
                }
            }
        });
        Target::at(address).expect("target")
    }

    #[tokio::test]
    async fn answers_are_read_and_a_closed_connection_is_opened_again() {
        let target =
            scripted(&["HTTP/1.1 201 Created\r\nidempotent-replayed: true\r\ncontent-length: 2\r\n\r\n{}"]).await;
        let mut connection = Connection::new(&target);
        for _ in 0..3 {
            let answer = connection.send(&Ask::post("/v1/orders", "{}").expect("ask")).await.expect("answer");
            assert_eq!((answer.status.as_u16(), answer.replayed, &answer.body[..]), (201, true, &b"{}"[..]));
            // The server hangs up after each answer; let the client see it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_lost() {
        let target = scripted(&["HTTP/1.1 201 Created\r\ncontent-length: 20\r\n\r\n{}"]).await;
        let lost = Connection::new(&target).send(&Ask::get("/").expect("ask")).await;
        assert_eq!(lost.expect_err("cut short"), Lost);
    }

    #[tokio::test]
    async fn problems_say_their_code() {
        let target =
            scripted(&["HTTP/1.1 409 Conflict\r\nretry-after: 2\r\ncontent-length: 19\r\n\r\n{\"code\":\"sold_out\"}"])
                .await;
        let answer = Connection::new(&target).send(&Ask::get("/").expect("ask")).await.expect("answer");
        assert_eq!((answer.code().as_str(), answer.retry_after), ("sold_out", Some(Duration::from_secs(2))));
        assert!(answer.success::<serde_json::Value>().is_err());
    }

    #[tokio::test]
    async fn only_plain_http_addresses_are_taken() {
        for bad in ["https://localhost", "localhost:80", "http://localhost/v1", "ftp://x"] {
            assert!(Target::find(bad).await.is_err(), "{bad}");
        }
        assert_eq!(Target::find("http://127.0.0.1:81").await.expect("target").address().port(), 81);
    }
}
