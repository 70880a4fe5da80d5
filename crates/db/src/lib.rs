//! Databases: one per service, SQLite or PostgreSQL behind the same SeaORM connection.
//!
//! **SQLite**: one writer connection (so that writers queue here, in order, instead of meeting a lock) and several
//! readers, write-ahead log, `synchronous=FULL`, checkpoints off the writer's path ([`checkpoint`]).
//! **PostgreSQL**: a pool on the primary; reads may go to a replica that has replayed all that this process wrote.
//!
//! SQL is written once, in the subset both understand, with `$1` parameters and the column types `uuid`, `bigint`,
//! `text`, `boolean`, `bytea`. Nothing outside this crate asks which database it is.

mod checkpoint;
mod error;
pub mod idempotency;
mod migrate;
mod open;
mod replica;
mod rows;

pub use error::{fault, foreign_key_violation, is_outage, unique_violation};
pub use migrate::{Migration, migrate, migrations};
pub use open::{Commit, Db, Settings, Source, Txn, snapshot_read};
pub use rows::{Rows, statement};

pub use sea_orm;
