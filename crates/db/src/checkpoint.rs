//! SQLite checkpoints, off the writer's path.
//!
//! SQLite would fold the write-ahead log into the file inside the commit that crosses a size: a buyer would wait for
//! it. Here another connection does the bulk while the writer goes on, then the writer itself the short remainder:
//! with that the whole log is folded in, and the next commit begins it anew. So the file keeps its length and is
//! written over, which also spares each sync the extending of a file. `PASSIVE` never waits for a reader; one that
//! reads for long only lets the log grow meanwhile. See <https://www.sqlite.org/wal.html#ckpt>.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// From this many pages on it is folded in.
const PAGES_FOLD: i64 = 1_000;

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
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(path.to_owned(), own, writer, stopped));
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

async fn run(file: PathBuf, own: SqlitePool, writer: SqlitePool, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = tokio::time::sleep(LOOK_EVERY) => {}
            _ = &mut stopped => break,
        }
        if let Err(e) = fold(&own, &writer).await {
            tracing::warn!(error = %e, file = %file.display(), "a checkpoint failed; it is tried again");
        }
    }
    if let Err(e) = checkpoint(&writer, "TRUNCATE").await {
        tracing::warn!(error = %e, file = %file.display(), "the last checkpoint failed; the log is read at the next start");
    }
    own.close().await;
}

async fn fold(own: &SqlitePool, writer: &SqlitePool) -> Result<(), sqlx::Error> {
    if checkpoint(own, "NOOP").await?.waiting() < PAGES_FOLD {
        return Ok(());
    }
    checkpoint(own, "PASSIVE").await?;
    checkpoint(writer, "PASSIVE").await.map(|_| ())
}

/// What SQLite says of the log after a checkpoint.
struct Log {
    pages: i64,
    folded: i64,
}

impl Log {
    fn waiting(&self) -> i64 {
        self.pages - self.folded
    }
}

async fn checkpoint(pool: &SqlitePool, mode: &'static str) -> Result<Log, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA wal_checkpoint({mode})"));
    let row = sqlx::query(sql).fetch_one(pool).await?;
    Ok(Log { pages: row.try_get(1)?, folded: row.try_get(2)? })
}
