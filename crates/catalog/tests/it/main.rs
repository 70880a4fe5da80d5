//! The catalogue on real databases: SQLite always, PostgreSQL when `JANGTEO_TEST_POSTGRES` holds its URL.

mod category;
mod event;
mod item;
mod shelf;
mod store;
mod world;
