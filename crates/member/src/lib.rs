//! The member service: people, their sign-in, their personal data.
//!
//! **Invariants.** Personal data reaches the database sealed, never plain ([`vault`]). Whether an e-mail address is
//! known cannot be told from an answer or its time ([`account`], [`session`]). A session has at most one refresh
//! token that was not used ([`session`]). A mail is written in the transaction of its cause ([`mail`]).
//!
//! Does not do: authorisation of requests (the edge verifies access tokens with our published keys and looks ended
//! sessions up in the shared memory), addresses, changes to an account.

mod account;
mod audit;
mod enroll;
mod keeper;
mod mail;
mod password;
mod phrase;
mod service;
mod session;
mod settings;
mod signing;
mod store;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod vault;

pub use audit::audit;
pub use service::{Deps, Service};
pub use settings::{Mailer, Settings};
pub use vault::MasterKey;
