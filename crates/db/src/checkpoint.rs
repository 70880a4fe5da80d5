//! SQLite checkpoints, off the writer's path.
//!
//! SQLite would fold the write-ahead log into the file inside the commit that crosses a size: a buyer would wait for
//! it. Here another connection does the bulk while the writer goes on (`PASSIVE` needs no lock). When the log is
//! long, the writer is then held for the short remainder, after which it starts the log from its beginning again.
//! See <https://www.sqlite.org/wal.html#ckpt>.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// How often the length of the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// From this length on the log is folded in.
const LOG_BYTES_FOLD: u64 = 8 * 1024 * 1024;
/// From this length on the writer is held for the remainder, so that the log cannot grow without bound.
const LOG_BYTES_RESTART: u64 = 64 * 1024 * 1024;

pub(crate) struct Checkpointer {
    task: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Checkpointer {
    pub(crate) async fn start(
        path: &Path,
        options: &SqliteConnectOptions,
        writer: SqlitePool,
    ) -> Result<Self, sqlx::Error> {
        let own = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(log, own, writer, stopped));
        Ok(Self { task: Mutex::new(Some((stop, task))) })
    }

    /// Folds the whole log in and ends.
    pub(crate) async fn stop(&self) {
        if let Some((stop, task)) = self.task.lock().await.take() {
            // The task may have ended with its runtime: then there is nothing to wait for.
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

async fn run(log: PathBuf, own: SqlitePool, writer: SqlitePool, mut stopped: oneshot::Receiver<()>) {
    let mut folded_to = 0;
    loop {
        tokio::select! {
            _ = tokio::time::sleep(LOOK_EVERY) => {}
            _ = &mut stopped => break,
        }
        let length = tokio::fs::metadata(&log).await.map(|m| m.len()).unwrap_or(0);
        // The file keeps its length when the log starts again from its beginning, so growth alone does not tell.
        if length < LOG_BYTES_FOLD && length <= folded_to {
            continue;
        }
        let outcome = match length < LOG_BYTES_RESTART {
            true => fold(&own, "PASSIVE").await,
            false => fold(&own, "PASSIVE").await.and(fold(&writer, "TRUNCATE").await),
        };
        match outcome {
            Ok(()) => folded_to = length,
            Err(e) => tracing::warn!(error = %e, log = %log.display(), "a checkpoint failed; it is tried again"),
        }
    }
    if let Err(e) = fold(&writer, "TRUNCATE").await {
        tracing::warn!(error = %e, log = %log.display(), "the last checkpoint failed; the log is replayed at the next start");
    }
    own.close().await;
}

async fn fold(pool: &SqlitePool, mode: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA wal_checkpoint({mode})"))).execute(pool).await.map(|_| ())
}
