//! The rows of the catalogue: one module per table, one statement per function.

pub(crate) mod category;
pub(crate) mod item;
pub(crate) mod option;
pub(crate) mod shelf;
pub(crate) mod store;

use db::sea_orm::DbErr;
use db::{Migration, fault, unique_violation};
use kit::Fault;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

const SCHEMA: &str = include_str!("../migrations/0001_catalog.sql");

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let list: [Migration; 3] = [
            ("0001_catalog", SCHEMA),
            ("0002_catalog_idempotency", db::idempotency::TABLE),
            ("0003_catalog_bus", bus::TABLES),
        ];
        db::migrations(&list)
    }
}

/// A constraint that refused a row, as the field that is wrong; any other error as it is.
pub(crate) fn refused(e: DbErr) -> Fault {
    let taken =
        [("store", &["name_folded"][..]), ("item", &["store_id", "name"]), ("category", &["parent_id", "name"])];
    if taken.iter().any(|(table, columns)| unique_violation(&e, table, columns)) {
        return Fault::field("/name", "taken", "another one has this name");
    }
    // The only foreign row that a request names and that may go away is the category.
    if db::foreign_key_violation(&e) {
        return unknown_category();
    }
    fault(e)
}

pub(crate) fn unknown_category() -> Fault {
    Fault::field("/category_id", "unknown", "there is no such category")
}
