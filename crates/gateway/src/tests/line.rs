//! The listener: what a client may take its time with, how many there may be, how it stops.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kit::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fake::{SLOW, World, available, option, order};
use crate::Settings;

struct Line {
    world: World,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

async fn listen(change: impl FnOnce(&mut Settings)) -> Line {
    let world = World::with(change);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = world.gateway.clone();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        gateway.serve(listener, shutdown).await;
    });
    Line { world, address, stop: Some(stop), served }
}

impl Line {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    fn stop(&mut self) {
        let _ = self.stop.take().expect("running").send(());
    }

    async fn stopped(self) {
        tokio::time::timeout(Duration::from_secs(5), self.served).await.expect("in time").expect("served");
    }
}

const GET: &[u8] = b"GET /v1/items HTTP/1.1\r\nhost: a\r\n\r\n";

/// Reads one answer, head and body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let n = stream.read(&mut buffer).await.expect("read");
        text.extend_from_slice(&buffer[..n]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if n == 0 || is_whole(&so_far) {
            return so_far;
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.trim().parse().expect("length"))
}

/// The server closed the connection, within `within`.
async fn closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut buffer = [0; 1];
    matches!(tokio::time::timeout(within, stream.read(&mut buffer)).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn both_versions_are_spoken() {
    let line = listen(|_| {}).await;
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<bytes::Bytes>>();
        let request = http::Request::get(format!("http://{}/v1/items", line.address));
        let answer = client.request(request.body(Full::default()).expect("request")).await.expect("answer");
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("x-request-id"));
        answer.into_body().collect().await.expect("body");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_and_an_idle_connection_stays() {
    let line = listen(|settings| settings.header_timeout_ms = 200).await;
    let mut drip = line.connect().await;
    drip.write_all(b"GET /v1/items HT").await.expect("write");
    let mut silent = line.connect().await;
    let mut idle = line.connect().await;
    idle.write_all(GET).await.expect("write");
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert!(closed(&mut drip, Duration::from_secs(2)).await, "a slow head is cut off");
    assert!(!closed(&mut silent, Duration::from_millis(300)).await, "nothing was begun here");
    idle.write_all(GET).await.expect("write");
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"), "between requests there is time");
    idle.write_all(b"GET /v1/i").await.expect("write");
    assert!(closed(&mut idle, Duration::from_secs(2)).await, "the second head is watched like the first");
}

#[tokio::test]
async fn a_quiet_connection_wakes_where_it_was() {
    let line = listen(|settings| settings.header_timeout_ms = 3_000).await;
    let mut stream = line.connect().await;
    stream.write_all(GET).await.expect("write");
    answer(&mut stream).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        stream.write_all(GET).await.expect("write");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"), "after a while");
    }
    // The second request begins in the packet of the first, and ends when the connection has been quiet for long.
    let (begin, end) = GET.split_at(20);
    stream.write_all(&[GET, begin].concat()).await.expect("write");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    stream.write_all(end).await.expect("write");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"), "nothing of it was lost");
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_understood() {
    let line = listen(|_| {}).await;
    let mut stream = line.connect().await;
    // Until its second byte, this could be HTTP/2.
    for byte in b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n" {
        stream.write_all(&[*byte]).await.expect("write");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 404"));
    let line = listen(|settings| settings.header_timeout_ms = 100).await;
    let mut stream = line.connect().await;
    stream.write_all(b"PR").await.expect("write");
    assert!(closed(&mut stream, Duration::from_secs(2)).await, "it never says which");
}

#[tokio::test]
async fn idle_connections_are_closed_in_the_end() {
    let line = listen(|settings| settings.idle_timeout_ms = 200).await;
    let mut silent = line.connect().await;
    let mut used = line.connect().await;
    used.write_all(GET).await.expect("write");
    answer(&mut used).await;
    assert!(closed(&mut silent, Duration::from_secs(2)).await);
    assert!(closed(&mut used, Duration::from_secs(2)).await);
}

#[tokio::test]
async fn a_running_request_is_not_idle() {
    let line = listen(|settings| settings.idle_timeout_ms = 100).await;
    let mut stream = line.connect().await;
    stream.write_all(&slow_order(&line)).await.expect("write");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so() {
    let line = listen(|settings| settings.request_timeout_ms = 200).await;
    let mut stream = line.connect().await;
    let mut bytes = slow_order(&line);
    bytes.truncate(bytes.len() - 5);
    stream.write_all(&bytes).await.expect("write");
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn one_connection_too_many_is_refused() {
    let line = listen(|settings| settings.connections_max = 1).await;
    let mut first = line.connect().await;
    first.write_all(GET).await.expect("write");
    answer(&mut first).await;
    let mut second = line.connect().await;
    let text = answer(&mut second).await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("retry-after: 1"), "{text}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut third = line.connect().await;
    third.write_all(GET).await.expect("write");
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"), "there is room again");
}

#[tokio::test]
async fn a_shutdown_answers_what_is_running() {
    let mut line = listen(|_| {}).await;
    line.world.gateway.set_ready(true);
    let mut idle = line.connect().await;
    idle.write_all(GET).await.expect("write");
    answer(&mut idle).await;
    let mut silent = line.connect().await;
    let mut running = line.connect().await;
    running.write_all(&slow_order(&line)).await.expect("write");
    tokio::time::sleep(Duration::from_millis(100)).await;
    line.stop();
    assert!(closed(&mut idle, Duration::from_millis(250)).await, "idle connections close at once");
    assert!(closed(&mut silent, Duration::from_millis(250)).await, "also those that never asked");
    let text = answer(&mut running).await;
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    assert!(TcpStream::connect(line.address).await.is_err(), "nobody new is let in");
    let ready = line.world.send(http::Request::get("/readyz").body(axum::body::Body::empty()).expect("request")).await;
    assert_eq!(ready.problem(), "unavailable");
    line.stopped().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut line = listen(|settings| settings.drain_timeout_ms = 100).await;
    let mut running = line.connect().await;
    running.write_all(&slow_order(&line)).await.expect("write");
    tokio::time::sleep(Duration::from_millis(50)).await;
    line.stop();
    line.stopped().await;
}

#[tokio::test]
async fn live_streams_end_with_the_server() {
    let mut line = listen(|_| {}).await;
    line.world.fake.availability.lock().push(available(1, 5));
    let mut stream = line.connect().await;
    let head = format!("GET /v1/availability/stream?options={} HTTP/1.1\r\nhost: a\r\n\r\n", option(1));
    stream.write_all(head.as_bytes()).await.expect("write");
    let mut buffer = vec![0; 4_096];
    let n = stream.read(&mut buffer).await.expect("read");
    assert!(n > 0);
    line.stop();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    read.expect("the stream ends").expect("properly");
    line.stopped().await;
}

fn slow_order(line: &Line) -> Vec<u8> {
    let (token, body) = (line.world.token(Role::Buyer), order(SLOW));
    let length = body.len();
    format!(
        "POST /v1/orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         idempotency-key: k\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
