//! What must hold in the member database at any time.

use db::Db;
use kit::Result;
use kit::audit::{BREACHES_MAX, Check};

use crate::store;

/// Checks the database. (Unique e-mails and phones, and tokens that belong to somebody, are constraints of it.)
pub async fn audit(db: &Db) -> Result<Vec<Check>> {
    let rows_max = i64::try_from(BREACHES_MAX).unwrap_or(i64::MAX);
    let (looked_at, branched) = store::token::branched(db.read(), rows_max).await?;
    let breaches = branched.iter().map(|session| format!("session {session} has several unused tokens")).collect();
    Ok(vec![Check {
        invariant: "I9".into(),
        rule: "each refresh of a session has one result: at most one token of it is unused".into(),
        looked_at,
        breaches,
    }])
}
