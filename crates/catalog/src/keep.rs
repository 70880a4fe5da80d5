//! Housekeeping: forgets idempotency keys and received messages that are old enough.

use std::sync::Arc;
use std::time::Duration;

use db::{Db, idempotency};
use kit::{Clock, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How often it is done.
const EVERY: Duration = Duration::from_secs(600);
/// Keys forgotten in one transaction, so that the writer is not held for long.
const KEYS_MAX: u64 = 1_000;
/// No transport repeats a message after so long a time.
const MESSAGES_KEPT_MS: i64 = 7 * 86_400_000;

pub(crate) struct Keeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(db: Db, clock: Arc<dyn Clock>) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(db, clock, stopped)) }
    }

    pub(crate) async fn stop(self) {
        // The task may be gone with its runtime.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn run(db: Db, clock: Arc<dyn Clock>, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = &mut stopped => return,
        }
        if let Err(fault) = round(&db, &*clock).await {
            tracing::warn!(error = %fault, "housekeeping of the catalogue failed; it is tried again");
        }
    }
}

async fn round(db: &Db, clock: &dyn Clock) -> Result<()> {
    let now = clock.now();
    loop {
        let txn = db.begin().await?;
        let forgotten = idempotency::purge(&txn, now, idempotency::KEPT_MS, KEYS_MAX).await?;
        db.commit(txn).await?;
        if forgotten < KEYS_MAX {
            break;
        }
    }
    let txn = db.begin().await?;
    bus::purge(&txn, now.plus_ms(-MESSAGES_KEPT_MS)).await?;
    db.commit(txn).await
}
