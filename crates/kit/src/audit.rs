//! What an audit looked at and what it found. Each service checks its own database; the binary prints.

use serde::{Deserialize, Serialize};

/// One invariant, checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Such as `I1`.
    pub invariant: String,
    /// What must hold, in words.
    pub rule: String,
    /// How many rows were looked at.
    pub looked_at: i64,
    /// What does not hold, one text each, at most [`BREACHES_MAX`]; empty when all is well.
    pub breaches: Vec<String>,
}

/// Breaches listed per check: enough to see what is wrong.
pub const BREACHES_MAX: usize = 20;
