//! Who has which phone number.

use db::{Rows, fault};
use kit::id::MemberId;
use kit::{Millis, Result};
use sea_orm::ConnectionTrait;

pub(crate) struct Claim {
    pub phone_index: Vec<u8>,
    pub email_index: Vec<u8>,
    /// Absent when the e-mail of the claim was taken.
    pub member: Option<MemberId>,
}

/// Records the claims on numbers that nobody has; how many.
pub(crate) async fn claim(txn: &impl ConnectionTrait, claims: &[Claim], now: Millis) -> Result<u64> {
    let mut rows = Rows::<4>::new();
    for claim in claims {
        rows.push([
            claim.phone_index.clone().into(),
            claim.email_index.clone().into(),
            claim.member.map(|member| member.0).into(),
            now.0.into(),
        ]);
    }
    let sql = "INSERT INTO phone_claim (phone_index, email_index, member_id, claimed_at_ms)
               VALUES {rows} ON CONFLICT DO NOTHING";
    rows.execute(txn, sql).await
}

/// Which of these numbers are claimed, and by whom.
pub(crate) async fn holders(txn: &impl ConnectionTrait, claims: &[Claim]) -> Result<Vec<(Vec<u8>, Option<MemberId>)>> {
    let mut rows = Rows::<1>::new();
    for claim in claims {
        rows.push([claim.phone_index.clone().into()]);
    }
    let sql = "WITH wanted (phone_index) AS (VALUES {rows})
               SELECT p.phone_index, p.member_id FROM phone_claim p
               WHERE p.phone_index IN (SELECT phone_index FROM wanted)";
    let read = |row: sea_orm::QueryResult| {
        let member: Option<uuid::Uuid> = row.try_get_by_index(1)?;
        Ok((row.try_get_by_index(0)?, member.map(MemberId)))
    };
    rows.query(txn, sql).await?.into_iter().map(read).collect::<Result<_, sea_orm::DbErr>>().map_err(fault)
}
