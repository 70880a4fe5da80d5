//! The rows of the member service: one module per table, one statement per function.

pub(crate) mod data_key;
pub(crate) mod mail;
pub(crate) mod member;
pub(crate) mod phone;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod token;
pub(crate) mod verification;

use db::Migration;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let list: [Migration; 1] = [("0001_member", include_str!("../migrations/0001_member.sql"))];
        db::migrations(&list)
    }
}
