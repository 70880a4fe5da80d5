//! A small HTTP client that distrusts the server: whatever it answers must keep to the rules that hold for every
//! answer, or the test that asked fails.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An answer that takes longer never comes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Connections to one server.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Http {
    /// `base` is `http://host:port`.
    pub fn to(base: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: base.into() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request without a token.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        let mut headers = HeaderMap::new();
        // Problems are then said in words that tests can read.
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        Ask { http: self.clone(), method, path: path.to_owned(), headers, body: Bytes::new() }
    }
}

/// No answer came: the connection was refused or broke. What the server did is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost;

/// A request to be sent, once or several times.
#[derive(Clone)]
pub struct Ask {
    http: Http,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).expect("header"));
        self
    }

    /// One more header of a name that is there already.
    #[must_use]
    pub fn and_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).expect("header"));
        self
    }

    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("token"));
        self
    }

    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    #[must_use]
    pub fn raw(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.body = body.into();
        self
    }

    /// Takes a header away again.
    #[must_use]
    pub fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sends, waits, and checks what holds for every answer.
    pub async fn send(&self) -> Reply {
        let reply = self.try_send().await;
        reply.unwrap_or_else(|Lost| panic!("no answer to {} {}", self.method, self.path))
    }

    /// Sends, and does not wait for more than the status.
    pub async fn send_head(&self) -> u16 {
        let response = tokio::time::timeout(ANSWER_WITHIN, self.http.client.request(self.request())).await;
        let response = response.unwrap_or_else(|_| panic!("{} {} was not answered in time", self.method, self.path));
        response.unwrap_or_else(|e| panic!("no answer to {} {}: {e}", self.method, self.path)).status().as_u16()
    }

    /// Like [`Self::send`], for servers that may die meanwhile.
    pub async fn try_send(&self) -> Result<Reply, Lost> {
        let mut request =
            Request::builder().method(self.method.clone()).uri(format!("{}{}", self.http.base, self.path));
        *request.headers_mut().expect("a request that can be built") = self.headers.clone();
        let request = request.body(Full::new(self.body.clone())).expect("request");
        let exchange = async {
            let response = self.http.client.request(request).await.map_err(|_| Lost)?;
            let (head, body) = response.into_parts();
            Ok((head, body.collect().await.map_err(|_| Lost)?.to_bytes()))
        };
        let answered = tokio::time::timeout(ANSWER_WITHIN, exchange).await;
        let (head, body) =
            answered.unwrap_or_else(|_| panic!("{} {} was not answered in time", self.method, self.path))?;
        let asked = format!("{} {}", self.method, self.path);
        let reply = Reply { asked, status: head.status.as_u16(), headers: head.headers, body };
        reply.check();
        Ok(reply)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let uri = format!("{}{}", self.http.base, self.path);
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        *request.headers_mut().expect("a request that can be built") = self.headers.clone();
        request.body(Full::new(self.body.clone())).expect("request")
    }
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was answered {} {}", self.asked, self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Reply {
    /// What is true of every answer: it carries an id, it is no failure of ours, and a refusal is a problem document.
    #[track_caller]
    fn check(&self) {
        assert_ne!(self.status, 500, "{self:?}");
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("no request id: {self:?}"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        if self.status < 400 {
            return;
        }
        if self.asked == "POST /verify" && self.header("content-type") == Some("text/html; charset=utf-8") {
            // A form of a page is answered with a page.
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.value();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"], id, "{self:?}");
        for member in ["type", "title", "detail", "code"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {self:?}");
        }
        if matches!(self.status, 429 | 503) {
            let wait = self.header("retry-after").and_then(|text| text.parse::<u32>().ok());
            assert!(wait.is_some_and(|seconds| seconds > 0), "no Retry-After: {self:?}");
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of ASCII"))
    }

    /// This status or the test fails.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Refused with this status and code, or the test fails.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        self
    }

    /// The body, of an answer that is a success.
    #[track_caller]
    pub fn get<T: DeserializeOwned>(&self) -> T {
        assert!(self.status < 300, "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// The `code` of a problem; empty when it is none.
    pub fn code(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Where and why the fields of a problem are wrong, as `/pointer reason`.
    #[track_caller]
    pub fn errors(&self) -> Vec<String> {
        let value = self.value();
        let errors = value["errors"].as_array().cloned().unwrap_or_default();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        errors.iter().map(|error| format!("{} {}", text(error, "pointer"), text(error, "reason"))).collect()
    }

    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}
