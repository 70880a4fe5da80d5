//! Shared memory within one process.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use async_trait::async_trait;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota as Rate, RateLimiter};
use kit::Result;
use moka::Expiry;
use moka::sync::Cache;
use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::{Kv, Quota, Verdict};

/// Texts a listener may be behind before it misses some.
const BACKLOG: usize = 4_096;
/// Rate-limited keys of one quota before the idle ones are swept.
const KEYS_SWEEP: usize = 100_000;

type Limiter = RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

pub struct Memory {
    values: Cache<String, Value>,
    topics: RwLock<HashMap<String, broadcast::Sender<Arc<str>>, RandomState>>,
    limits: RwLock<HashMap<Quota, Arc<Limiter>, RandomState>>,
    clock: DefaultClock,
}

#[derive(Clone)]
struct Value {
    text: String,
    ttl: Duration,
}

struct PerValue;

impl Expiry<String, Value> for PerValue {
    fn expire_after_create(&self, _: &String, value: &Value, _: Instant) -> Option<Duration> {
        Some(value.ttl)
    }

    fn expire_after_update(&self, _: &String, value: &Value, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(value.ttl)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            // Without a capacity: a revoked session must not be forgotten because others were revoked.
            values: Cache::builder().expire_after(PerValue).build(),
            topics: RwLock::default(),
            limits: RwLock::default(),
            clock: DefaultClock::default(),
        }
    }
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    fn limiter(&self, quota: &Quota) -> Arc<Limiter> {
        if let Some(limiter) = self.limits.read().get(quota) {
            return limiter.clone();
        }
        let positive = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let rate = Rate::per_minute(positive(quota.per_minute)).allow_burst(positive(quota.burst));
        let limiter = RateLimiter::hashmap_with_clock(rate, self.clock.clone()).with_middleware();
        self.limits.write().entry(*quota).or_insert_with(|| Arc::new(limiter)).clone()
    }
}

#[async_trait]
impl Kv for Memory {
    async fn set(&self, key: &str, value: &str, ttl_ms: u64) -> Result<()> {
        self.values.insert(key.to_owned(), Value { text: value.to_owned(), ttl: Duration::from_millis(ttl_ms) });
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(self.values.get(key).map(|value| value.text))
    }

    async fn publish(&self, topic: &str, text: Arc<str>) -> Result<()> {
        if let Some(sender) = self.topics.read().get(topic) {
            // Nobody listening is no error.
            let _ = sender.send(text);
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Arc<str>>> {
        let mut topics = self.topics.write();
        let sender = topics.entry(topic.to_owned()).or_insert_with(|| broadcast::channel(BACKLOG).0);
        Ok(sender.subscribe())
    }

    async fn take(&self, quota: &Quota, key: &str) -> Result<Verdict> {
        let limiter = self.limiter(quota);
        if limiter.len() > KEYS_SWEEP {
            limiter.retain_recent();
        }
        Ok(match limiter.check_key(&key.to_owned()) {
            Ok(state) => Verdict { allowed: true, remaining: state.remaining_burst_capacity(), retry_after_ms: 0 },
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                Verdict { allowed: false, remaining: 0, retry_after_ms }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_expire() {
        let memory = Memory::new();
        memory.set("a", "1", 60_000).await.expect("set");
        memory.set("b", "1", 0).await.expect("set");
        assert_eq!(memory.get("a").await.expect("get").as_deref(), Some("1"));
        assert_eq!(memory.get("b").await.expect("get"), None);
    }

    #[tokio::test]
    async fn a_burst_is_allowed_and_then_refused_per_key() {
        let memory = Memory::new();
        let quota = Quota { name: "test", burst: 3, per_minute: 1 };
        let mut remaining = Vec::new();
        for _ in 0..3 {
            let verdict = memory.take(&quota, "kim").await.expect("take");
            assert!(verdict.allowed);
            remaining.push(verdict.remaining);
        }
        assert_eq!(remaining, [2, 1, 0]);
        let refused = memory.take(&quota, "kim").await.expect("take");
        assert!(!refused.allowed && refused.retry_after_ms > 0);
        assert!(memory.take(&quota, "lee").await.expect("take").allowed);
    }

    #[tokio::test]
    async fn topics_reach_all_listeners() {
        let memory = Memory::new();
        let mut one = memory.subscribe("t").await.expect("subscribe");
        let mut two = memory.subscribe("t").await.expect("subscribe");
        memory.publish("t", "hi".into()).await.expect("publish");
        assert_eq!(&*one.recv().await.expect("text"), "hi");
        assert_eq!(&*two.recv().await.expect("text"), "hi");
    }
}
