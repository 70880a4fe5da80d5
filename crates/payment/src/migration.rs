//! The tables of the payment database, in the order in which they came.

use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        db::migrations(&[
            ("0001_ledger", include_str!("../migrations/0001_ledger.sql")),
            ("0002_idempotency", db::idempotency::TABLE),
        ])
    }
}
