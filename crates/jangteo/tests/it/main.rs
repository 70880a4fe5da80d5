//! The system tests: the whole market, from outside, over real HTTP. The files mirror the routes.
//!
//! **Column**: every test runs with service calls as method calls (`local`) and over the wire (`wire`), each on SQLite
//! and, when `JANGTEO_TEST_POSTGRES` holds the URL of a server, on PostgreSQL.

/// Makes tests of functions that take `&App`: each in every column.
macro_rules! every_column {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn local() {
                $crate::app::in_every_database(jangteo::Form::Local, super::$name).await;
            }

            #[tokio::test]
            async fn wire() {
                $crate::app::in_every_database(jangteo::Form::Wire, super::$name).await;
            }
        }
    )+};
}

/// The same for functions that take a `Column`, and start the app themselves.
macro_rules! every_bare_column {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn local() {
                $crate::app::in_every_bare_column(jangteo::Form::Local, super::$name).await;
            }

            #[tokio::test]
            async fn wire() {
                $crate::app::in_every_bare_column(jangteo::Form::Wire, super::$name).await;
            }
        }
    )+};
}

mod access;
mod account;
mod actor;
mod app;
mod canary;
mod category;
mod client;
mod input;
mod item;
mod order;
mod overload;
mod page;
mod process;
mod route;
mod sale;
mod server;
mod spoil;
mod stock;
mod store;
mod wallet;
