//! Refresh tokens, as hashes.

use db::{fault, statement};
use kit::id::{MemberId, SessionId};
use kit::{Fault, Millis, Result, Role};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use uuid::Uuid;

/// A refresh token with its session and its member as they are now.
pub(crate) struct Known {
    pub session: SessionId,
    pub member: MemberId,
    pub role: Role,
    pub verified: bool,
    pub expires_at: Millis,
    pub used_at: Option<Millis>,
    /// The session ended or the member is disabled.
    pub ended: bool,
}

pub(crate) async fn find(txn: &impl ConnectionTrait, hash: Vec<u8>) -> Result<Option<Known>> {
    let sql = "SELECT t.session_id, s.member_id, m.role, m.email_verified_at_ms, t.expires_at_ms, t.used_at_ms,
                   s.ended_at_ms, m.disabled_at_ms
               FROM refresh_token t JOIN session s ON s.id = t.session_id JOIN member m ON m.id = s.member_id
               WHERE t.hash = $1";
    let row = txn.query_one_raw(statement(txn, sql, [hash.into()])).await.map_err(fault)?;
    row.map(|row| known(&row)).transpose()
}

fn known(row: &QueryResult) -> Result<Known> {
    let time = |at: usize| row.try_get_by_index::<Option<i64>>(at).map(|ms| ms.map(Millis));
    let read = || -> Result<(Uuid, Uuid, String, i64), DbErr> {
        Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?, row.try_get_by_index(4)?))
    };
    let (session, member, role, expires_at_ms) = read().map_err(fault)?;
    let ended = time(6).map_err(fault)?.or(time(7).map_err(fault)?).is_some();
    Ok(Known {
        session: SessionId(session),
        member: MemberId(member),
        role: Role::parse(&role).ok_or_else(|| Fault::internal(format!("member {member} has no known role")))?,
        verified: time(3).map_err(fault)?.is_some(),
        expires_at: Millis(expires_at_ms),
        used_at: time(5).map_err(fault)?,
        ended,
    })
}

/// Uses a token; false when it was used already.
pub(crate) async fn spend(txn: &impl ConnectionTrait, session: SessionId, hash: Vec<u8>, now: Millis) -> Result<bool> {
    let sql = "UPDATE refresh_token SET used_at_ms = $1 WHERE hash = $2 AND session_id = $3 AND used_at_ms IS NULL";
    let values: [Value; 3] = [now.0.into(), hash.into(), session.0.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected() == 1)
}

pub(crate) async fn insert(
    txn: &impl ConnectionTrait,
    session: SessionId,
    hash: Vec<u8>,
    expires_at: Millis,
) -> Result<()> {
    let sql = "INSERT INTO refresh_token (hash, session_id, expires_at_ms) VALUES ($1, $2, $3)";
    let values: [Value; 3] = [hash.into(), session.0.into(), expires_at.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Forgets what expired, at most `rows_max` at once; how many.
pub(crate) async fn purge(txn: &impl ConnectionTrait, now: Millis, rows_max: i64) -> Result<u64> {
    let sql = "DELETE FROM refresh_token WHERE hash IN
               (SELECT hash FROM refresh_token WHERE expires_at_ms <= $1 LIMIT $2)";
    let values: [Value; 2] = [now.0.into(), rows_max.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected())
}

/// How many sessions have refresh tokens, and some that have more than one unused.
pub(crate) async fn branched(connection: &impl ConnectionTrait, rows_max: i64) -> Result<(i64, Vec<SessionId>)> {
    let count = statement(connection, "SELECT count(DISTINCT session_id) FROM refresh_token", []);
    let row = connection.query_one_raw(count).await.map_err(fault)?;
    let sessions = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?;
    let sql = "SELECT session_id FROM refresh_token WHERE used_at_ms IS NULL
               GROUP BY session_id HAVING count(*) > 1 LIMIT $1";
    let rows = connection.query_all_raw(statement(connection, sql, [rows_max.into()])).await.map_err(fault)?;
    let branched = rows.iter().map(|row| row.try_get_by_index(0).map(SessionId)).collect::<Result<_, _>>();
    Ok((sessions.unwrap_or(0), branched.map_err(fault)?))
}
