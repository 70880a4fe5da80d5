//! How fast the client at the other end of a connection must be.
//!
//! hyper's own timer for heads would also cut off idle keep-alive connections, and costs an allocation per request.
//! Here the connection only notes what it is doing, and one timer per connection looks now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::settings::Settings;

/// Nothing was asked since.
const IDLE: u8 = 0;
/// The first bytes of a head came in.
const HEAD: u8 = 1;

/// What one connection is doing, and since when. Read and written by the connection's own task, and for HTTP/2 also
/// by those of its requests; nothing but time is decided by it, so relaxed ordering is enough.
pub(crate) struct Pace {
    base: Instant,
    phase: AtomicU8,
    /// Milliseconds after `base`.
    since_ms: AtomicU64,
    /// Requests whose answer is not yet sent.
    busy: AtomicU32,
    /// HTTP/2 frames are not heads: between requests such a connection is idle, whatever comes in.
    multiplexed: AtomicBool,
    /// Milliseconds after `base` plus one since which the client takes nothing; 0 when it does.
    stalled_ms: AtomicU64,
}

/// Milliseconds that a connection may take for things.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    header_ms: u64,
    idle_ms: u64,
    write_ms: u64,
}

impl Patience {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { header_timeout_ms, idle_timeout_ms, write_timeout_ms, .. } = *settings;
        Self { header_ms: header_timeout_ms, idle_ms: idle_timeout_ms, write_ms: write_timeout_ms }
    }

    /// Between requests.
    pub(crate) fn idle(self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// For the head of a request.
    pub(crate) fn header(self) -> Duration {
        Duration::from_millis(self.header_ms)
    }

    /// How often to look: nothing is overrun by more than half.
    pub(crate) fn look_every(self) -> Duration {
        let shortest_ms = self.header_ms.min(self.idle_ms).min(self.write_ms);
        Duration::from_millis((shortest_ms / 2).max(1))
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            phase: AtomicU8::new(IDLE),
            since_ms: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            stalled_ms: AtomicU64::new(0),
        }
    }

    /// A request was read; it lasts until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, version: http::Version) -> Busy {
        if version == http::Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// The client takes longer than it may.
    pub(crate) fn is_overrun(&self, patience: Patience) -> bool {
        let now_ms = self.now_ms();
        let stalled_ms = self.stalled_ms.load(Ordering::Relaxed);
        if stalled_ms > 0 && now_ms >= stalled_ms.saturating_add(patience.write_ms) {
            return true;
        }
        if self.busy.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let head = self.phase.load(Ordering::Relaxed) == HEAD && !self.multiplexed.load(Ordering::Relaxed);
        let limit_ms = if head { patience.header_ms } else { patience.idle_ms };
        now_ms >= self.since_ms.load(Ordering::Relaxed).saturating_add(limit_ms)
    }

    /// Nothing was asked, nothing came in and nothing waits to be sent, for this long.
    pub(crate) fn is_quiet(&self, time: Duration) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
            && self.phase.load(Ordering::Relaxed) == IDLE
            && self.stalled_ms.load(Ordering::Relaxed) == 0
            && u128::from(self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed))) >= time.as_millis()
    }

    fn enter(&self, phase: u8) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn came_in(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE && self.busy.load(Ordering::Relaxed) == 0 {
            self.enter(HEAD);
        }
    }

    fn note_write<T>(&self, outcome: &Poll<T>) {
        let stalled = self.stalled_ms.load(Ordering::Relaxed);
        match outcome {
            Poll::Pending if stalled == 0 => self.stalled_ms.store(self.now_ms() + 1, Ordering::Relaxed),
            Poll::Ready(_) if stalled != 0 => self.stalled_ms.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request that is being answered.
pub(crate) struct Busy(Arc<Pace>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(IDLE);
        }
    }
}

/// A body whose connection is busy until all of it is sent.
pub(crate) struct Tracked {
    body: Body,
    _busy: Busy,
}

impl Tracked {
    pub(crate) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that notes its pace.
pub(crate) struct Paced {
    io: TokioIo<TcpStream>,
    /// What was read before and is still to be understood.
    begun: Bytes,
    pace: Arc<Pace>,
}

impl Paced {
    pub(crate) fn new(stream: TcpStream, begun: Bytes, pace: Arc<Pace>) -> Self {
        Self { io: TokioIo::new(stream), begun, pace }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.io.into_inner()
    }
}

impl Read for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let fits = self.begun.len().min(buf.remaining());
            buf.put_slice(&self.begun.split_to(fits));
            self.pace.came_in();
            return Poll::Ready(Ok(()));
        }
        let outcome = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.pace.came_in();
        Poll::Ready(outcome)
    }
}

impl Write for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.pace.note_write(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.pace.note_write(&outcome);
        outcome
    }
}
