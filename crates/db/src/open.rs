//! Opening a database and routing reads and writes.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use kit::{Code, Fault, Result};
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel, SqliteTransactionMode,
    SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions, TransactionTrait as _,
};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::checkpoint::Checkpointer;
use crate::error::{fault, is_rolled_back};
use crate::replica::Replica;

/// Where the data lives. Each service has its own file or its own schema in it.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder; one file per service.
    Sqlite { dir: PathBuf },
    /// A server; one schema per service, named `<prefix>_<service>`.
    Postgres { url: String, replica: Option<String>, prefix: String },
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Off only for measuring what syncing costs: acknowledged data is then lost at a power cut.
    pub sync: bool,
    /// Connections for reading (SQLite) or in all (PostgreSQL).
    pub connections: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sync: true, connections: 8 }
    }
}

/// How long a caller waits for a connection before it is told that the market is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process (the command line) to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of somebody who only looks.
const LOOKERS_MAX: u32 = 2;
/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 512;
/// Page cache of one SQLite connection, KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// A write transaction. Dropped without [`Db::commit`], it rolls back.
pub type Txn = DatabaseTransaction;

/// How a commit ended.
#[derive(Debug)]
pub enum Commit {
    /// Durable.
    Done,
    /// The database said that nothing was kept: disk full, conflict.
    NotDone(Fault),
    /// A sync that failed, a connection lost before the answer: it may have happened or not.
    Unknown(Fault),
}

/// The database of one service.
#[derive(Clone)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    replica: Option<Arc<Replica>>,
    checkpointer: Option<Arc<Checkpointer>>,
}

impl Db {
    /// Opens (and for SQLite creates) the database of `service`.
    pub async fn open(source: &Source, service: &str, settings: &Settings) -> Result<Self> {
        match source {
            Source::Sqlite { dir } => open_sqlite(dir.join(format!("{service}.db")), settings).await,
            Source::Postgres { url, replica, prefix } => {
                let schema = format!("{prefix}_{service}");
                open_postgres(url, replica.as_deref(), &schema, settings).await
            }
        }
    }

    /// Opens the database of `service` for looking only, beside a market that may be running: nothing is created and
    /// nothing can be written. Errors: `not_found` when there is none.
    pub async fn open_read_only(source: &Source, service: &str) -> Result<Self> {
        let reader = match source {
            Source::Sqlite { dir } => look_into_sqlite(&dir.join(format!("{service}.db"))).await?,
            Source::Postgres { url, prefix, .. } => look_into_postgres(url, &format!("{prefix}_{service}")).await?,
        };
        Ok(Self { writer: reader.clone(), reader, replica: None, checkpointer: None })
    }

    /// For reading. Sees everything this process has committed.
    pub fn read(&self) -> &DatabaseConnection {
        match &self.replica {
            Some(replica) if replica.has_caught_up() => replica.connection(),
            _ => &self.reader,
        }
    }

    /// Begins a write transaction on the primary. On SQLite the writers queue here.
    pub async fn begin(&self) -> Result<Txn> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer.begin_with_options(options).await.map_err(fault)
    }

    /// Commits: when this returns, the data is durable.
    pub async fn commit(&self, txn: Txn) -> Result<()> {
        match self.commit_or_tell(txn).await {
            Commit::Done => Ok(()),
            Commit::NotDone(fault) | Commit::Unknown(fault) => Err(fault),
        }
    }

    /// Commits, and tells a commit that surely did not happen from one whose outcome is not known.
    pub async fn commit_or_tell(&self, txn: Txn) -> Commit {
        match txn.commit().await {
            Ok(()) => {
                if let Some(replica) = &self.replica {
                    replica.wrote(&self.writer).await;
                }
                Commit::Done
            }
            Err(e) if is_rolled_back(&e) => Commit::NotDone(fault(e)),
            Err(e) => Commit::Unknown(fault(e)),
        }
    }

    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// Several processes may decide on the same rows.
    pub fn is_shared(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Closes all connections, after what runs has finished; SQLite folds its log into the file.
    pub async fn close(self) -> Result<()> {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.stop().await;
        }
        self.reader.close_by_ref().await.map_err(fault)?;
        self.writer.close_by_ref().await.map_err(fault)
    }
}

async fn open_sqlite(path: PathBuf, settings: &Settings) -> Result<Db> {
    let shown = path.display().to_string();
    let cannot = |e: sqlx::Error| Fault::internal(format!("cannot open {shown}: {e}"));
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if settings.sync { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_MAX)
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", (-CACHE_KIB).to_string())
        // Checkpoints are run by `Checkpointer`, not inside somebody's commit.
        .pragma("wal_autocheckpoint", "0");
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
    let writer = pool(1).before_acquire(|connection, _| Box::pin(async { Ok(is_at_rest(connection)) }));
    let writer = writer.connect_with(options.clone()).await.map_err(cannot)?;
    let reader = pool(settings.connections.max(1))
        .connect_with(options.clone().read_only(true).create_if_missing(false))
        .await
        .map_err(cannot)?;
    let checkpointer = Checkpointer::start(&path, &options, writer.clone()).await.map_err(cannot)?;
    Ok(Db {
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        replica: None,
        checkpointer: Some(Arc::new(checkpointer)),
    })
}

/// Whether the last transaction of `connection` has ended, also by sqlx's count. SQLite ends one by itself when the
/// disk is full or fails; rolling it back is an error then, sqlx goes on counting it, and what is "committed" later
/// would only be a savepoint that nobody commits. Such a connection is thrown away.
/// See <https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>.
fn is_at_rest(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

async fn look_into_sqlite(path: &Path) -> Result<DatabaseConnection> {
    let shown = path.display();
    if !path.exists() {
        return Err(Fault::new(Code::NotFound).context(format!("there is no {shown}")));
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().max_connections(LOOKERS_MAX).connect_with(options).await;
    let pool = pool.map_err(|e| Fault::internal(format!("cannot open {shown}: {e}")))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

async fn look_into_postgres(url: &str, schema: &str) -> Result<DatabaseConnection> {
    let cannot = |e: sqlx::Error| Fault::internal(format!("cannot reach PostgreSQL: {e}"));
    let options = PgConnectOptions::from_str(url)
        .map_err(cannot)?
        .options([("search_path", schema), ("default_transaction_read_only", "on")]);
    let pool = PgPoolOptions::new().max_connections(LOOKERS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = pool.connect_with(options).await.map_err(cannot)?;
    let found = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(schema).fetch_optional(&pool).await;
    match found.map_err(cannot)? {
        Some(_) => Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool)),
        None => Err(Fault::new(Code::NotFound).context(format!("there is no schema {schema}"))),
    }
}

async fn open_postgres(url: &str, replica: Option<&str>, schema: &str, settings: &Settings) -> Result<Db> {
    // Not shown in errors: a URL holds a password.
    let cannot = |e: sqlx::Error| Fault::internal(format!("cannot reach PostgreSQL: {e}"));
    let connect = |url: &str, connections: u32| {
        let sync = if settings.sync { "on" } else { "off" };
        let options = PgConnectOptions::from_str(url)
            .map_err(cannot)?
            .statement_cache_capacity(STATEMENTS_MAX)
            .options([("search_path", schema), ("synchronous_commit", sync)]);
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        Ok::<_, Fault>(pool.connect_lazy_with(options))
    };
    let primary = connect(url, settings.connections.max(2))?;
    let create = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
    let created = sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&primary).await;
    // Two processes that start together may both find the schema missing; one of them then loses.
    if let Err(e) = created.map(|_| ()).or_else(ignore_duplicate) {
        return Err(cannot(e));
    }
    let writer = SqlxPostgresConnector::from_sqlx_postgres_pool(primary);
    let replica = match replica {
        Some(url) => {
            let pool = connect(url, settings.connections.max(2))?;
            Some(Arc::new(Replica::start(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))))
        }
        None => None,
    };
    Ok(Db { reader: writer.clone(), writer, replica, checkpointer: None })
}

/// Options of a transaction that sees one state of the database from its first statement to its last.
pub fn snapshot_read() -> TransactionOptions {
    TransactionOptions {
        isolation_level: Some(IsolationLevel::RepeatableRead),
        access_mode: Some(AccessMode::ReadOnly),
        sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
    }
}

fn ignore_duplicate(e: sqlx::Error) -> Result<(), sqlx::Error> {
    let code = e.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
    match code.as_deref() {
        Some("23505" | "42P06") => Ok(()),
        _ => Err(e),
    }
}
