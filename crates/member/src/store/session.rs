//! Sessions.

use db::{Rows, fault, statement};
use kit::id::{MemberId, SessionId};
use kit::{Millis, Result};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

pub(crate) struct Session {
    pub id: SessionId,
    pub member: MemberId,
    /// Sealed.
    pub device: Option<Vec<u8>>,
    pub created_at: Millis,
    pub live_until: Millis,
}

/// Opens a session unless its member is disabled; whether it was opened.
pub(crate) async fn open(txn: &impl ConnectionTrait, session: Session) -> Result<bool> {
    let sql = "INSERT INTO session (id, member_id, device, created_at_ms, live_until_ms)
               SELECT $1, id, $3, $4, $5 FROM member WHERE id = $2 AND disabled_at_ms IS NULL";
    let done = txn.execute_raw(statement(txn, sql, values(session))).await.map_err(fault)?;
    Ok(done.rows_affected() == 1)
}

/// Opens sessions of members that are known to be there.
pub(crate) async fn insert(txn: &impl ConnectionTrait, sessions: Vec<Session>) -> Result<()> {
    let mut rows = Rows::<5>::new();
    for session in sessions {
        rows.push(values(session));
    }
    let sql = "INSERT INTO session (id, member_id, device, created_at_ms, live_until_ms) VALUES {rows}";
    rows.execute(txn, sql).await.map(|_| ())
}

fn values(session: Session) -> [Value; 5] {
    [
        session.id.0.into(),
        session.member.0.into(),
        session.device.into(),
        session.created_at.0.into(),
        session.live_until.0.into(),
    ]
}

/// Whether the session is the member's, ended or not.
pub(crate) async fn belongs(txn: &impl ConnectionTrait, member: MemberId, session: SessionId) -> Result<bool> {
    let sql = "SELECT id FROM session WHERE id = $1 AND member_id = $2";
    let values: [Value; 2] = [session.0.into(), member.0.into()];
    Ok(txn.query_one_raw(statement(txn, sql, values)).await.map_err(fault)?.is_some())
}

/// A token of the session lives until then.
pub(crate) async fn extend(
    txn: &impl ConnectionTrait,
    member: MemberId,
    session: SessionId,
    live_until: Millis,
) -> Result<()> {
    let sql = "UPDATE session SET live_until_ms = $1 WHERE id = $2 AND member_id = $3 AND live_until_ms < $1";
    let values: [Value; 3] = [live_until.0.into(), session.0.into(), member.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Ends one session.
pub(crate) async fn end(txn: &impl ConnectionTrait, member: MemberId, session: SessionId, now: Millis) -> Result<()> {
    let sql = "UPDATE session SET ended_at_ms = $1 WHERE id = $2 AND member_id = $3 AND ended_at_ms IS NULL";
    let values: [Value; 3] = [now.0.into(), session.0.into(), member.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Ends all sessions of a member.
pub(crate) async fn end_all(txn: &impl ConnectionTrait, member: MemberId, now: Millis) -> Result<()> {
    let sql = "UPDATE session SET ended_at_ms = $1 WHERE member_id = $2 AND ended_at_ms IS NULL";
    let values: [Value; 2] = [now.0.into(), member.0.into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Those of a member that ended after `since`.
pub(crate) async fn ended_of(txn: &impl ConnectionTrait, member: MemberId, since: Millis) -> Result<Vec<SessionId>> {
    let sql = "SELECT id FROM session WHERE member_id = $1 AND ended_at_ms > $2";
    let values: [Value; 2] = [member.0.into(), since.0.into()];
    let rows = txn.query_all_raw(statement(txn, sql, values)).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get_by_index(0).map(SessionId)).collect::<Result<_, _>>().map_err(fault)
}

/// A session and when it ended.
pub(crate) type Ended = (Millis, SessionId);

/// A page of those that ended after `after` (and, at that instant, have a greater id), oldest first.
pub(crate) async fn ended(connection: &impl ConnectionTrait, after: Ended, rows_max: i64) -> Result<Vec<Ended>> {
    let sql = "SELECT ended_at_ms, id FROM session WHERE ended_at_ms IS NOT NULL AND (ended_at_ms, id) > ($1, $2)
               ORDER BY ended_at_ms, id LIMIT $3";
    let values: [Value; 3] = [after.0.0.into(), after.1.0.into(), rows_max.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: &QueryResult| {
        let id: Uuid = row.try_get_by_index(1)?;
        Ok((Millis(row.try_get_by_index(0)?), SessionId(id)))
    };
    rows.iter().map(read).collect::<Result<_, sea_orm::DbErr>>().map_err(fault)
}

/// Forgets those of which no token was alive at `before`, at most `rows_max` at once; how many.
pub(crate) async fn purge(txn: &impl ConnectionTrait, before: Millis, rows_max: i64) -> Result<u64> {
    let sql = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE live_until_ms < $1 LIMIT $2)";
    let values: [Value; 2] = [before.0.into(), rows_max.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected())
}
