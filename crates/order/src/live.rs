//! Live availability: tells the shared memory (and by it every open page) what changed, and closes the gate.
//!
//! Whoever changes stock only says which rows; one task reads them after a moment and publishes what it finds, so that
//! an older value can never overwrite a newer one, and a hot row is published a few times a second at most.

use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use contract::order::{Availability, TOPIC_AVAILABILITY};
use db::Db;
use kit::{Clock, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::gate::Gate;
use crate::intake::StockKey;
use crate::store;

/// Changes are gathered for so long: far below the second within which a page must be right.
const GATHER: Duration = Duration::from_millis(100);
/// Values remembered to leave out what did not change.
const SHOWN_MAX: usize = 100_000;
/// Members looked up for one sold-out row; with more the gate stays open and the intake refuses.
const HOLDERS_MAX: usize = 200_000;

/// Where changes are announced.
#[derive(Clone, Default)]
pub struct Live(Arc<Changed>);

#[derive(Default)]
struct Changed {
    keys: Mutex<AHashSet<StockKey>>,
    some: Notify,
}

impl Live {
    /// These rows may have changed.
    pub fn touch(&self, keys: impl IntoIterator<Item = StockKey>) {
        let mut changed = self.0.keys.lock();
        changed.extend(keys);
        if !changed.is_empty() {
            self.0.some.notify_one();
        }
    }
}

pub struct Watcher {
    pub db: Db,
    pub kv: kv::Shared,
    pub gate: Arc<Gate>,
    pub clock: Arc<dyn Clock>,
}

impl Watcher {
    /// Runs until its task is ended.
    pub async fn run(self, live: Live) {
        let mut shown = AHashMap::new();
        loop {
            live.0.some.notified().await;
            tokio::time::sleep(GATHER).await;
            let keys = std::mem::take(&mut *live.0.keys.lock());
            if let Err(fault) = self.publish(&keys, &mut shown).await {
                tracing::warn!(error = %fault, "availability could not be published; it is tried again");
                live.touch(keys);
            }
        }
    }

    async fn publish(&self, keys: &AHashSet<StockKey>, shown: &mut AHashMap<StockKey, Availability>) -> Result<()> {
        let versions: Vec<(StockKey, u64)> = keys.iter().map(|key| (*key, self.gate.look(*key))).collect();
        let found = store::stock::find(self.db.read(), keys).await?;
        for (key, version) in versions {
            let Some(row) = found.get(&key) else { continue };
            if self.gate.learn(key, row.window, row.now.available) {
                self.close(key, row, version).await?;
            }
            if shown.get(&key) != Some(&row.now) {
                let text = serde_json::to_string(&row.now).map_err(kit::Fault::internal)?;
                self.kv.publish(TOPIC_AVAILABILITY, text.into()).await?;
                if shown.len() >= SHOWN_MAX {
                    shown.clear();
                }
                shown.insert(key, row.now.clone());
            }
        }
        Ok(())
    }

    async fn close(&self, key: StockKey, row: &store::stock::Shown, version: u64) -> Result<()> {
        let since = self.clock.now().plus_ms(-db::idempotency::KEPT_MS);
        let holders = store::order::holders(self.db.read(), row.store, key, since, HOLDERS_MAX + 1).await?;
        if holders.len() <= HOLDERS_MAX {
            self.gate.close(key, version, holders);
        }
        Ok(())
    }
}
