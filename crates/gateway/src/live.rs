//! Live availability for many open pages: one subscription per process, each text parsed and written once, then handed
//! to those who watch its option.
//!
//! **Invariant:** a listener holds at most one waiting event per option and sale (the newest), so that a slow client
//! costs no memory. Changes are gathered for [`PAUSE`], so that a hot option makes at most five events a second, and
//! none is older than that when it is sent. When texts were missed, what is watched is read again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ahash::{HashMap, HashMapExt as _};
use bytes::Bytes;
use contract::order::{Availability, OrderClient, TOPIC_AVAILABILITY};
use hyper::body::{Body, Frame};
use kit::id::{OptionId, SaleId};
use kit::{Code, Ctx, Fault, Ids, Result};
use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Options that one stream (or one reading) may ask for.
pub(crate) const OPTIONS_MAX: usize = 100;
/// At most one event per option in this time.
const PAUSE: Duration = Duration::from_millis(200);
/// A comment this often keeps proxies from closing a quiet stream, and finds clients that are gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a client that lost its stream should come back.
const RETRY_MS: u32 = 2_000;
/// Pause after a re-reading that failed.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// How long re-reading may take before it is tried again.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Availability is counted apart for the shelf and for each sale.
type Key = (OptionId, Option<SaleId>);

pub(crate) struct Hub {
    order: OrderClient,
    kv: kv::Shared,
    ids: Arc<dyn Ids>,
    streams_max: usize,
    streams: AtomicUsize,
    gauge: metrics::Gauge,
    next_id: AtomicU64,
    watched: Mutex<Watched>,
    /// Held while the subscription starts.
    starting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Watched {
    by_option: HashMap<OptionId, HashMap<u64, Arc<Listener>>>,
    running: bool,
    closed: bool,
}

/// One open stream.
#[derive(Default)]
struct Listener {
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    waiting: Vec<(Key, Bytes)>,
    /// A keep-alive is due.
    nudged: bool,
    closed: bool,
    waker: Option<Waker>,
}

impl Hub {
    pub(crate) fn new(order: OrderClient, kv: kv::Shared, ids: Arc<dyn Ids>, streams_max: usize) -> Arc<Self> {
        Arc::new(Self {
            order,
            kv,
            ids,
            streams_max,
            streams: AtomicUsize::new(0),
            gauge: metrics::gauge!("http_live_streams"),
            next_id: AtomicU64::new(0),
            watched: Mutex::default(),
            starting: tokio::sync::Mutex::new(()),
        })
    }

    /// The current state of `options`, then their changes. Errors: `overloaded` when too many streams are open,
    /// `unavailable` when the state cannot be read.
    pub(crate) async fn listen(self: &Arc<Self>, ctx: &Ctx, options: Vec<OptionId>) -> Result<Stream> {
        let mut stream = self.register(options)?;
        self.start().await?;
        // Read after listening began: a change in between comes twice rather than never.
        let state = self.order.availability(ctx, stream.options.clone()).await?;
        let mut first = format!("retry: {RETRY_MS}\n\n");
        for availability in &state {
            first.push_str(&event(availability)?);
        }
        stream.first = Some(first.into());
        Ok(stream)
    }

    /// Ends every stream; for a shutdown.
    pub(crate) fn close(&self) {
        let mut watched = self.watched.lock();
        watched.closed = true;
        for listener in watched.by_option.values().flat_map(HashMap::values) {
            listener.tell(|inbox| inbox.closed = true);
        }
    }

    fn register(self: &Arc<Self>, mut options: Vec<OptionId>) -> Result<Stream> {
        options.sort_unstable();
        options.dedup();
        let open = self.streams.fetch_add(1, Ordering::Relaxed);
        self.gauge.increment(1.0);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let stream = Stream { hub: self.clone(), id, options, listener: Arc::default(), first: None };
        let mut watched = self.watched.lock();
        if open >= self.streams_max || watched.closed {
            drop(watched);
            return Err(Fault::new(Code::Overloaded).retry_after(1));
        }
        for option in &stream.options {
            watched.by_option.entry(*option).or_default().insert(id, stream.listener.clone());
        }
        drop(watched);
        Ok(stream)
    }

    /// Makes sure that the topic is being heard.
    async fn start(self: &Arc<Self>) -> Result<()> {
        let _one = self.starting.lock().await;
        if self.watched.lock().running {
            return Ok(());
        }
        let texts = self.kv.subscribe(TOPIC_AVAILABILITY).await?;
        self.watched.lock().running = true;
        tokio::spawn(self.clone().run(texts));
        Ok(())
    }

    /// Hears the topic until nobody watches any more.
    async fn run(self: Arc<Self>, mut texts: Receiver<Arc<str>>) {
        let mut changed: HashMap<Key, Availability> = HashMap::new();
        let mut missed = false;
        let mut flush_at = Instant::now();
        let mut keep_alive_at = Instant::now() + KEEP_ALIVE;
        loop {
            let due = if changed.is_empty() && !missed { keep_alive_at } else { flush_at.min(keep_alive_at) };
            match tokio::time::timeout_at(due, texts.recv()).await {
                Ok(Ok(text)) => note(&text, &mut changed),
                Ok(Err(RecvError::Lagged(count))) => {
                    tracing::info!(count, "live availability missed changes and reads again");
                    missed = true;
                }
                Ok(Err(RecvError::Closed)) => {
                    missed = true;
                    tokio::time::sleep(PAUSE).await;
                    match self.kv.subscribe(TOPIC_AVAILABILITY).await {
                        Ok(fresh) => texts = fresh,
                        Err(fault) => tracing::warn!(error = %fault, "live availability lost its subscription"),
                    }
                }
                Err(_) => {}
            }
            let now = Instant::now();
            if now >= flush_at && (missed || !changed.is_empty()) {
                if missed {
                    missed = !self.read_again(&mut changed).await;
                }
                self.tell(&mut changed);
                flush_at = Instant::now() + if missed { PAUSE_FAILED } else { PAUSE };
            }
            if now >= keep_alive_at {
                keep_alive_at = now + KEEP_ALIVE;
                if self.nudge_or_stop() {
                    return;
                }
            }
        }
    }

    /// Reads all that is watched into `changed`; false when that failed.
    async fn read_again(&self, changed: &mut HashMap<Key, Availability>) -> bool {
        let options: Vec<OptionId> = self.watched.lock().by_option.keys().copied().collect();
        let ctx = Ctx::internal(&*self.ids).within(READ_WITHIN);
        for part in options.chunks(OPTIONS_MAX) {
            match self.order.availability(&ctx, part.to_vec()).await {
                Ok(state) => changed.extend(state.into_iter().map(|a| ((a.option_id, a.sale_id), a))),
                Err(fault) => {
                    tracing::warn!(error = %fault, "live availability could not be read again");
                    return false;
                }
            }
        }
        true
    }

    /// Hands each change to those who watch its option.
    fn tell(&self, changed: &mut HashMap<Key, Availability>) {
        let watched = self.watched.lock();
        for (key, availability) in changed.drain() {
            let Some(listeners) = watched.by_option.get(&key.0) else {
                continue;
            };
            let Ok(text) = event(&availability) else {
                continue;
            };
            let text = Bytes::from(text);
            for listener in listeners.values() {
                listener.tell(|inbox| inbox.put(key, text.clone()));
            }
        }
    }

    /// Keeps the streams alive; true when there are none and hearing can stop.
    fn nudge_or_stop(&self) -> bool {
        let mut watched = self.watched.lock();
        if watched.by_option.is_empty() {
            watched.running = false;
            return true;
        }
        for listener in watched.by_option.values().flat_map(HashMap::values) {
            listener.tell(|inbox| inbox.nudged = true);
        }
        false
    }
}

impl Listener {
    fn tell(&self, change: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.inbox.lock();
        change(&mut inbox);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Inbox {
    fn put(&mut self, key: Key, text: Bytes) {
        match self.waiting.iter_mut().find(|(known, _)| *known == key) {
            Some((_, older)) => *older = text,
            None => self.waiting.push((key, text)),
        }
    }

    /// All that waits, as one write.
    fn take(&mut self) -> Option<Bytes> {
        if self.waiting.len() <= 1 {
            return self.waiting.pop().map(|(_, text)| text);
        }
        let texts: Vec<&[u8]> = self.waiting.iter().map(|(_, text)| &**text).collect();
        let texts = texts.concat();
        self.waiting.clear();
        Some(texts.into())
    }
}

/// The body of a live answer.
pub(crate) struct Stream {
    hub: Arc<Hub>,
    id: u64,
    options: Vec<OptionId>,
    listener: Arc<Listener>,
    first: Option<Bytes>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let mut inbox = self.listener.inbox.lock();
        if let Some(texts) = inbox.take() {
            return Poll::Ready(Some(Ok(Frame::data(texts))));
        }
        if inbox.closed {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut inbox.nudged) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.streams.fetch_sub(1, Ordering::Relaxed);
        self.hub.gauge.decrement(1.0);
        let mut watched = self.hub.watched.lock();
        for option in &self.options {
            if let Some(listeners) = watched.by_option.get_mut(option) {
                listeners.remove(&self.id);
                if listeners.is_empty() {
                    watched.by_option.remove(option);
                }
            }
        }
    }
}

fn note(text: &str, changed: &mut HashMap<Key, Availability>) {
    match serde_json::from_str::<Availability>(text) {
        Ok(availability) => {
            changed.insert((availability.option_id, availability.sale_id), availability);
        }
        Err(e) => tracing::warn!(error = %e, "a text about availability was not understood"),
    }
}

fn event(availability: &Availability) -> Result<String> {
    let json = serde_json::to_string(availability).map_err(Fault::internal)?;
    Ok(format!("event: availability\ndata: {json}\n\n"))
}
