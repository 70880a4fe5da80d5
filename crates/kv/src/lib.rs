//! Shared memory of the market: short-lived values, broadcast topics, rate limits.
//!
//! Nothing here is the truth about anything: what is lost costs speed, and is filled again from a database. In one
//! process it is [`Memory`]; across machines an engine stands behind the same trait.

mod memory;

pub use memory::Memory;

use std::sync::Arc;

use async_trait::async_trait;
use kit::Result;
use tokio::sync::broadcast;

/// A handle that every part of the process shares.
pub type Shared = Arc<dyn Kv>;

/// A GCRA quota: `burst` at once, refilled at `per_minute`
/// (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quota {
    /// Names the limit; part of the key.
    pub name: &'static str,
    pub burst: u32,
    pub per_minute: u32,
}

/// What a rate limit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub allowed: bool,
    /// Cells left in the burst.
    pub remaining: u32,
    /// When refused: how long until one cell is free, in milliseconds.
    pub retry_after_ms: u64,
}

#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// Keeps `value` under `key` for `ttl_ms`.
    async fn set(&self, key: &str, value: &str, ttl_ms: u64) -> Result<()>;

    async fn get(&self, key: &str) -> Result<Option<String>>;

    /// Tells everybody who listens on `topic` right now.
    async fn publish(&self, topic: &str, text: Arc<str>) -> Result<()>;

    /// Hears `topic` from now on. A slow listener misses texts and is told so ([`broadcast::error::RecvError::Lagged`]).
    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Arc<str>>>;

    /// Takes one cell of `quota` for `key`.
    async fn take(&self, quota: &Quota, key: &str) -> Result<Verdict>;
}
