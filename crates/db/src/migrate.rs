//! Migrations: SQL files, each run once, in order, in a transaction where the database allows it.

use kit::{Fault, Result};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait::async_trait};

use crate::open::Db;
use crate::rows::statement;

/// A named SQL text. `{clustered}` after a table stores it in the order of its key where that has to be said.
pub type Migration = (&'static str, &'static str);

struct Sql {
    name: &'static str,
    text: &'static str,
}

impl MigrationName for Sql {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for Sql {
    async fn up(&self, manager: &SchemaManager) -> std::result::Result<(), DbErr> {
        let clustered = match manager.get_database_backend() {
            sea_orm::DbBackend::Sqlite => "WITHOUT ROWID",
            _ => "",
        };
        let text = self.text.replace("{clustered}", clustered);
        manager.get_connection().execute_unprepared(&text).await.map(|_| ())
    }
}

/// For the `migrations` of a service's migrator.
pub fn migrations(list: &[Migration]) -> Vec<Box<dyn MigrationTrait>> {
    list.iter().map(|&(name, text)| Box::new(Sql { name, text }) as Box<dyn MigrationTrait>).collect()
}

/// Any number; the same in every process that migrates.
const LOCK: i64 = 0x6a61_6e67_7465_6f00;

/// Brings the database up to date. Safe when several processes start at once.
pub async fn migrate<M: MigratorTrait>(db: &Db) -> Result<()> {
    let failed = |e: DbErr| Fault::internal(format!("migration failed: {e}"));
    if !db.is_shared() {
        return M::up(db.writer(), None).await.map_err(failed);
    }
    // Held until this transaction ends; the migrations run beside it.
    let lock = db.begin().await?;
    lock.execute_raw(statement(&lock, "SELECT pg_advisory_xact_lock($1)", [LOCK.into()])).await.map_err(failed)?;
    M::up(db.writer(), None).await.map_err(failed)?;
    db.commit(lock).await
}
