//! The service on a real database: SQLite in a temporary folder, and PostgreSQL when `JANGTEO_TEST_POSTGRES` names one.

mod crowd;
mod harness;
mod hold;
mod sale;
mod stock;
