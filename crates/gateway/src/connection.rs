//! One connection, from its first byte to its last: which version it speaks, how fast its client is, what it costs.
//!
//! A client that keeps its connection open without asking is the usual case, so that one is made cheap: after a second
//! of quiet the HTTP machinery with its buffers is put away, and taken out again at the next byte. What a parked
//! connection costs is its socket and a small task.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, sleep, timeout};

use crate::edge::Edge;
use crate::pace::{Pace, Paced, Patience, Tracked};

/// The largest head of a request. hyper's smallest buffer is 8 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// What a client may send ahead on one HTTP/2 stream, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// What waits to be sent on one HTTP/2 stream.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// A silent HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Quiet for this long: parked.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at the first bytes, when they came one by one.
const PEEK_PAUSE: Duration = Duration::from_millis(5);
/// HTTP/2 with prior knowledge begins like this (RFC 9113 §3.4); no HTTP/1 method does.
const PREFACE: &[u8] = b"PRI ";

/// What all connections of a listener have in common.
pub(crate) struct Server {
    edge: Arc<Edge>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    patience: Patience,
}

/// What becomes of an HTTP/1 connection for now.
enum Pause {
    Ended,
    /// Quiet; with the beginning of a next request, if some of it is there already.
    Quiet(TcpStream, Bytes),
}

impl Server {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        let mut http1 = http1::Builder::new();
        // The head's time is watched by `Pace`.
        http1.max_buf_size(HEAD_BYTES_MAX).header_read_timeout(None).timer(TokioTimer::new());
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING_EVERY);
        let patience = Patience::new(&edge.app.settings);
        Self { edge, http1, http2, patience }
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Serves one connection until it ends, its client is too slow, or `stopped` and what runs is finished.
    pub(crate) async fn run(self: Arc<Self>, mut stream: TcpStream, peer: IpAddr, mut stopped: Receiver<()>) {
        // Answers are written whole: waiting to fill a packet would only add latency. Failing is harmless.
        let _ = stream.set_nodelay(true);
        let mut begun = Bytes::new();
        loop {
            if begun.is_empty() {
                let multiplexed = tokio::select! {
                    first = self.first_bytes(&stream) => first,
                    _ = &mut stopped => return,
                };
                match multiplexed {
                    Some(true) => return self.multiplexed(stream, peer, stopped).boxed().await,
                    Some(false) => {}
                    None => return,
                }
            }
            // Boxed, so that a parked connection does not hold the room for it.
            match self.requests(stream, begun, peer, &mut stopped).boxed().await {
                Pause::Ended => return,
                Pause::Quiet(quiet, rest) => (stream, begun) = (quiet, rest),
            }
        }
    }

    /// Waits for the client to say something: whether it is HTTP/2; `None` when it says nothing (in time).
    async fn first_bytes(&self, stream: &TcpStream) -> Option<bool> {
        let mut first = [0; PREFACE.len()];
        let mut length = timeout(self.patience.idle(), stream.peek(&mut first)).await.ok()?.ok()?;
        let give_up = Instant::now() + self.patience.header();
        while (1..PREFACE.len()).contains(&length) && PREFACE.starts_with(&first[..length]) {
            if Instant::now() >= give_up {
                return None;
            }
            sleep(PEEK_PAUSE).await;
            length = stream.peek(&mut first).await.ok()?;
        }
        (length > 0).then_some(first == *PREFACE)
    }

    /// Answers HTTP/1 requests until the connection is quiet.
    async fn requests(&self, stream: TcpStream, begun: Bytes, peer: IpAddr, stopped: &mut Receiver<()>) -> Pause {
        let pace = Arc::new(Pace::new());
        let io = Paced::new(stream, begun, pace.clone());
        let service = service_fn(|request| answer(self.edge.clone(), request, peer, &pace));
        let mut connection = self.http1.serve_connection(io, service);
        let look_every = self.patience.look_every().min(PARK_AFTER);
        let mut look = pin!(sleep(look_every));
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                // A broken connection is its client's business: there is nobody left to tell.
                _ = &mut connection => return Pause::Ended,
                () = look.as_mut() => {
                    if pace.is_overrun(self.patience) {
                        return Pause::Ended;
                    }
                    if !stopping && pace.is_quiet(PARK_AFTER) {
                        let parts = connection.into_parts();
                        return Pause::Quiet(parts.io.into_inner(), parts.read_buf);
                    }
                    look.as_mut().reset(Instant::now() + look_every);
                }
                _ = &mut *stopped, if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }

    /// Answers the requests of an HTTP/2 connection, many at a time.
    async fn multiplexed(&self, stream: TcpStream, peer: IpAddr, mut stopped: Receiver<()>) {
        let pace = Arc::new(Pace::new());
        let io = Paced::new(stream, Bytes::new(), pace.clone());
        let edge = self.edge.clone();
        let service = {
            let pace = pace.clone();
            service_fn(move |request| answer(edge.clone(), request, peer, &pace))
        };
        let mut connection = pin!(self.http2.serve_connection(io, service));
        let mut look = pin!(sleep(self.patience.look_every()));
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                _ = connection.as_mut() => return,
                () = look.as_mut() => {
                    if pace.is_overrun(self.patience) {
                        return;
                    }
                    look.as_mut().reset(Instant::now() + self.patience.look_every());
                }
                _ = &mut stopped, if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn answer(
    edge: Arc<Edge>,
    request: Request<Incoming>,
    peer: IpAddr,
    pace: &Arc<Pace>,
) -> impl Future<Output = Result<Response<Tracked>, Infallible>> + use<> {
    let busy = pace.begin(request.version());
    async move {
        let answer = edge.answer(request.map(Body::new), peer).await;
        Ok(answer.map(|body| Tracked::new(body, busy)))
    }
}
