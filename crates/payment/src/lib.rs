//! Payment: the double-entry ledger, wallets, and the paying of held orders.
//!
//! Money is only ever moved by [`ledger::post`]. Paying is a saga with a row per attempt ([`saga`]), driven and
//! resumed by [`payer`]. Does not decide whether an order can be paid: the order service is the judge of that.
//!
//! **Invariant:** every transfer sums to zero, a balance is the sum of its entries, no wallet is below zero, and the
//! clearing account holds exactly what open attempts have captured. `audit` checks it, and so do the tests.

mod audit;
mod entity;
mod ledger;
mod migration;
mod payer;
mod saga;
mod service;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use audit::audit;
pub use service::{CREDIT_MINOR_MAX, Deps, Service};
