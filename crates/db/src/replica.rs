//! Reads on a PostgreSQL replica that never miss what this process itself has written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::Result;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use tokio::task::JoinHandle;

use crate::error::fault;
use crate::rows::statement;

/// How often the replica is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Replica {
    connection: DatabaseConnection,
    /// Position in the primary's log behind the last commit of this process.
    wrote: AtomicU64,
    replayed: std::sync::Arc<AtomicU64>,
    watch: JoinHandle<()>,
}

impl Replica {
    pub(crate) fn start(connection: DatabaseConnection) -> Self {
        let replayed = std::sync::Arc::new(AtomicU64::new(0));
        let watch = tokio::spawn(watch(connection.clone(), replayed.clone()));
        // Until something is written nothing can be missed, but the replica must have answered once.
        Self { connection, wrote: AtomicU64::new(1), replayed, watch }
    }

    pub(crate) fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    pub(crate) fn has_caught_up(&self) -> bool {
        self.replayed.load(Ordering::Acquire) >= self.wrote.load(Ordering::Acquire)
    }

    /// Notes that this process has just committed on `primary`.
    pub(crate) async fn wrote(&self, primary: &DatabaseConnection) {
        // Without a position the replica is not read from until a later commit brings one. Two commits may note
        // their positions in the wrong order, but each asks after its own commit, so the later answer covers both.
        let position = position(primary, "pg_current_wal_lsn()").await.unwrap_or(u64::MAX);
        self.wrote.store(position, Ordering::Release);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn watch(connection: DatabaseConnection, replayed: std::sync::Arc<AtomicU64>) {
    loop {
        // A replica that does not answer is not read from.
        let at = position(&connection, "coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())").await.unwrap_or(0);
        replayed.store(at, Ordering::Release);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn position(connection: &DatabaseConnection, function: &str) -> Result<u64> {
    let sql = format!("SELECT ({function} - '0/0'::pg_lsn)::bigint");
    let row = connection.query_one_raw(statement(connection, sql, [])).await.map_err(fault)?;
    let position = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?;
    Ok(position.and_then(|p| u64::try_from(p).ok()).unwrap_or(0))
}
