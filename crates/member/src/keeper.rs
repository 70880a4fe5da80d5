//! The background task that forgets what has served its time: expired tokens, sessions nobody can use, old mails.
//!
//! Any number of processes may run it; deleting what is gone is no error.

use std::sync::Arc;
use std::time::Duration;

use db::Db;
use kit::{Clock, Result};
use tokio::sync::watch;

use crate::{mail, store};

const EVERY: Duration = Duration::from_secs(600);
/// Rows of one table deleted in one transaction, so that nobody waits long for the writer.
const ROWS_MAX: i64 = 500;

pub(crate) struct Keeper {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                // An error means that the service is gone, which is a stop as well.
                _ = stopped.changed() => return,
            }
            if let Err(fault) = self.sweep(&stopped).await {
                tracing::warn!(error = %fault, "old rows could not be deleted; it is tried again");
            }
        }
    }

    /// Deletes until nothing old is left.
    async fn sweep(&self, stopped: &watch::Receiver<bool>) -> Result<()> {
        while !*stopped.borrow() && self.step().await? > 0 {}
        Ok(())
    }

    /// One transaction's worth; how many rows. Tokens go before sessions, which would take them along unbounded.
    pub(crate) async fn step(&self) -> Result<u64> {
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let mut deleted = store::verification::purge(&txn, now, ROWS_MAX).await?;
        deleted += store::mail::purge(&txn, now.plus_ms(-mail::KEPT_MS), ROWS_MAX).await?;
        deleted += store::token::purge(&txn, now, ROWS_MAX).await?;
        deleted += store::session::purge(&txn, now, ROWS_MAX).await?;
        match deleted {
            // Rolled back, so that looking costs no write.
            0 => Ok(0),
            _ => self.db.commit(txn).await.map(|()| deleted),
        }
    }
}
