//! Open verifications of e-mail addresses.

use db::{fault, statement};
use kit::id::MemberId;
use kit::{Millis, Result};
use sea_orm::{ConnectionTrait, Value};

/// The member's one open verification, in place of an earlier one.
pub(crate) async fn replace(
    txn: &impl ConnectionTrait,
    member: MemberId,
    token_hash: Vec<u8>,
    expires_at: Millis,
) -> Result<()> {
    let sql = "INSERT INTO verification (member_id, token_hash, expires_at_ms) VALUES ($1, $2, $3)
               ON CONFLICT (member_id) DO UPDATE
               SET token_hash = excluded.token_hash, expires_at_ms = excluded.expires_at_ms";
    let values: [Value; 3] = [member.0.into(), token_hash.into(), expires_at.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Uses a token up: whose it was, if it is known and alive.
pub(crate) async fn take(txn: &impl ConnectionTrait, token_hash: Vec<u8>, now: Millis) -> Result<Option<MemberId>> {
    let sql = "DELETE FROM verification WHERE token_hash = $1 AND expires_at_ms > $2 RETURNING member_id";
    let values: [Value; 2] = [token_hash.into(), now.0.into()];
    let row = txn.query_one_raw(statement(txn, sql, values)).await.map_err(fault)?;
    row.map(|row| row.try_get_by_index(0).map(MemberId)).transpose().map_err(fault)
}

/// Forgets what expired, at most `rows_max` at once; how many.
pub(crate) async fn purge(txn: &impl ConnectionTrait, now: Millis, rows_max: i64) -> Result<u64> {
    let sql = "DELETE FROM verification WHERE member_id IN
               (SELECT member_id FROM verification WHERE expires_at_ms <= $1 LIMIT $2)";
    let values: [Value; 2] = [now.0.into(), rows_max.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected())
}
