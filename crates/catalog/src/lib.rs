//! The catalogue: stores, items with their options, categories, and the shelf they are listed on.
//!
//! It knows names and prices. Stock it does not count: the order service does, and tells it by events when an option
//! turns in or out of stock and when units are sold. In turn every change of an item, of its store or of its
//! visibility is told to the order service by an event written in the transaction of the change.
//!
//! A request is one method in [`service`]; each of its statements is one function in `table`.

mod audit;
mod consume;
mod keep;
mod offer;
mod rule;
mod service;
mod table;
mod tree;

pub use audit::audit;
pub use service::{Deps, Service};
