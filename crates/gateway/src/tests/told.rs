//! What operators are told: log lines with the request's id, numbers by route.

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::fmt::MakeWriter;

use super::fake::{BROKEN, INSIDE, PANIC, SOLD_OUT, World, order};

/// Lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("text")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn our_own_failures_are_logged_once_with_the_id_and_others_not_at_all() {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).with_writer(lines.clone());
    let _on = tracing::subscriber::set_default(subscriber.finish());
    let world = World::new();
    world.place(order(SOLD_OUT), &[("x-request-id", "ordinary")]).await;
    world.place("{", &[("x-request-id", "ordinary")]).await;
    world.place(order(100), &[("x-request-id", "ordinary")]).await;
    assert_eq!(lines.text(), "", "an ordinary request is no news");
    for (amount, id) in [(BROKEN, "broken-1"), (PANIC, "panic-1")] {
        let before = lines.text().len();
        world.place(order(amount), &[("x-request-id", id)]).await;
        let text = lines.text()[before..].to_owned();
        assert_eq!(text.matches(INSIDE).count(), 1, "{text}");
        let line = text.lines().find(|line| line.contains(INSIDE)).expect("line");
        assert!(line.contains("ERROR") && line.contains(id) && line.contains("/v1/orders"), "{line}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_class() {
    let handle = crate::metrics::install().expect("recorder");
    crate::metrics::install().expect("installing twice gives the same");
    let world = World::new();
    world.place(order(SOLD_OUT), &[]).await;
    world.send(Request::get("/nowhere").body(Body::empty()).expect("request")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let served = tokio::spawn(crate::metrics::serve(listener, handle, std::future::pending()));
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("write");
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("page");
    for part in [
        "http_requests_total{method=\"POST\",route=\"/v1/orders\",class=\"4xx\"}",
        "http_requests_total{method=\"any\",route=\"none\",class=\"4xx\"}",
        "http_problems_total{code=\"sold_out\"}",
        "http_request_seconds_bucket{method=\"POST\",route=\"/v1/orders\",le=\"0.01\"}",
        "http_requests_in_flight",
        "http_connections",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    served.abort();
}
