//! The edge on its own: small services that say what a test needs, and no more. The whole market is tested elsewhere.

mod door;
pub(crate) mod fake;
mod forged;
mod line;
mod live;
mod table;
mod told;
