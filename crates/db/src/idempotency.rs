//! The record of an idempotency key, written in the transaction of the effect it stands for.
//!
//! A refused request leaves no record: it had no effect, so it may be decided anew.

use kit::{Code, Fault, Result};
use sea_orm::{ConnectionTrait, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::fault;
use crate::rows::statement;

/// Part of the first migration of each service that keeps such records.
///
/// `operation` is a number of the service's choosing; `fingerprint` tells one body from another; `answer` is the
/// first answer (JSON), or empty where it can be read from `subject_id`.
pub const TABLE: &str = "
CREATE TABLE idempotency (
    member_id     uuid   NOT NULL,
    operation     bigint NOT NULL,
    key           text   NOT NULL,
    fingerprint   bigint NOT NULL,
    subject_id    uuid,
    answer        text,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (member_id, operation, key)
) {clustered};
";

/// Whose request, of which sort, under which key, and what it said.
#[derive(Clone)]
pub struct Claim {
    pub member: sea_orm::prelude::Uuid,
    pub operation: i64,
    pub key: String,
    pub fingerprint: i64,
}

/// 64 bits of SHA-256 over the canonical JSON of a body: tells whether a repeated key came with the same request.
pub fn fingerprint(body: &impl Serialize) -> i64 {
    let json = serde_json::to_vec(body).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &json);
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    i64::from_be_bytes(first)
}

/// The first answer, when the key was used before. Errors: `idempotency_key_reused`.
pub async fn find<T: DeserializeOwned>(connection: &impl ConnectionTrait, claim: &Claim) -> Result<Option<T>> {
    let sql = "SELECT fingerprint, answer FROM idempotency WHERE member_id = $1 AND operation = $2 AND key = $3";
    let key: [Value; 3] = [claim.member.into(), claim.operation.into(), claim.key.clone().into()];
    let Some(row) = connection.query_one_raw(statement(connection, sql, key)).await.map_err(fault)? else {
        return Ok(None);
    };
    if row.try_get_by_index::<i64>(0).map_err(fault)? != claim.fingerprint {
        return Err(Fault::new(Code::IdempotencyKeyReused));
    }
    let answer = row.try_get_by_index::<String>(1).map_err(fault)?;
    serde_json::from_str(&answer).map(Some).map_err(|e| Fault::internal(format!("stored answer: {e}")))
}

/// Records the answer; part of the caller's transaction.
/// Errors: `idempotency_in_progress` when another request with this key was faster.
pub async fn record(
    connection: &impl ConnectionTrait,
    claim: &Claim,
    answer: &impl Serialize,
    now: kit::Millis,
) -> Result<()> {
    let sql = "INSERT INTO idempotency (member_id, operation, key, fingerprint, answer, created_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let answer = serde_json::to_string(answer).map_err(Fault::internal)?;
    let row: [Value; 6] = [
        claim.member.into(),
        claim.operation.into(),
        claim.key.clone().into(),
        claim.fingerprint.into(),
        answer.into(),
        now.0.into(),
    ];
    let done = connection.execute_raw(statement(connection, sql, row)).await.map_err(fault)?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(Fault::new(Code::IdempotencyInProgress).retry_after(1)),
    }
}

/// Records are kept this long.
pub const KEPT_MS: i64 = 24 * 3_600_000;

/// Forgets records older than `kept_ms`, at most `rows_max` at once. Returns how many.
pub async fn purge(connection: &impl ConnectionTrait, now: kit::Millis, kept_ms: i64, rows_max: u64) -> Result<u64> {
    let sql = "DELETE FROM idempotency WHERE (member_id, operation, key) IN
               (SELECT member_id, operation, key FROM idempotency WHERE created_at_ms < $1 LIMIT $2)";
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let values: [Value; 2] = [now.plus_ms(-kept_ms).0.into(), limit.into()];
    let done = connection.execute_raw(statement(connection, sql, values)).await.map_err(fault)?;
    Ok(done.rows_affected())
}
