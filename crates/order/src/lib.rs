//! The order service: stock, holds, orders, limited sales.
//!
//! **Invariant:** stock and orders live in one database, in one transaction. Where a purchase is decided:
//! [`intake::decide`].

mod audit;
mod consumer;
mod crash;
mod gate;
pub mod intake;
mod job;
mod live;
mod service;
pub mod state;
mod store;

pub use audit::audit;
pub use crash::POINTS as CRASH_POINTS;
pub use service::{Deps, Service, Settings};

use db::Migration;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        const LIST: [Migration; 3] = [
            ("0001_order", include_str!("../migrations/0001_order.sql")),
            ("0002_idempotency", db::idempotency::TABLE),
            ("0003_bus", bus::TABLES),
        ];
        db::migrations(&LIST)
    }
}

#[cfg(test)]
mod tests;
