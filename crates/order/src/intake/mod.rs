//! The intake: every request for stock passes here, in order of arrival, a batch at a time.
//!
//! One committer drains whatever has arrived, reads what it touches ([`snapshot`]), decides in memory ([`decide`]) and
//! writes one transaction ([`write`]). While it syncs, the next batch gathers: no timer is needed. Only a durable commit
//! is answered. Paying, expiring and cancelling of holds pass here too, so that every race has one judge.
//!
//! **Invariant:** nothing is acknowledged that is not durable (test `crash`).
//! **Invariant:** a refused request writes nothing (test `a_refused_request_writes_nothing`).

mod committer;
pub mod decide;
pub mod job;
mod snapshot;
mod write;

#[cfg(test)]
mod tests;

pub use committer::{Intake, IntakeDeps};
pub use decide::{Answer, Window};
pub use job::{Claim, Job, Move, MoveJob, Operation, PlaceJob};
pub use snapshot::StockKey;
