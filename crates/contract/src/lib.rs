//! What the services promise one another and the edge: one module per service, its requests and replies, its client.
//!
//! The same types are the REST bodies and the OpenAPI schemas: one representation from the edge to the store. Bodies
//! that people send refuse unknown fields; replies between services tolerate them, so that versions may differ.

pub mod catalog;
mod check;
pub mod event;
pub mod idempotency;
pub mod member;
pub mod order;
pub mod payment;

pub use check::valid;
pub use event::Event;
pub use idempotency::IdempotencyKey;
