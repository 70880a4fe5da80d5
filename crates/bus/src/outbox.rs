//! The outbox: events that happened and were not yet handed on.

use db::{fault, statement};
use kit::{Ctx, Fault, Ids, Millis, Result};
use sea_orm::{ConnectionTrait, Value};
use serde::Serialize;

use crate::Message;

/// Outbox and inbox; part of the first migration of each service that has them.
pub const TABLES: &str = "
CREATE TABLE outbox (
    id            uuid   NOT NULL PRIMARY KEY,
    topic         text   NOT NULL,
    payload       text   NOT NULL,
    request_id    text   NOT NULL,
    created_at_ms bigint NOT NULL
) {clustered};
CREATE TABLE inbox (
    consumer       text   NOT NULL,
    message_id     uuid   NOT NULL,
    received_at_ms bigint NOT NULL,
    PRIMARY KEY (consumer, message_id)
) {clustered};
";

/// Events written as one row; more are split over several.
const EVENTS_MAX: usize = 500;

/// Writes `events` in the caller's transaction. Wake the relay after the commit.
pub async fn append(
    connection: &impl ConnectionTrait,
    ids: &dyn Ids,
    ctx: &Ctx,
    topic: &str,
    events: &[impl Serialize],
    now: Millis,
) -> Result<()> {
    let sql = "INSERT INTO outbox (id, topic, payload, request_id, created_at_ms) VALUES ($1, $2, $3, $4, $5)";
    for some in events.chunks(EVENTS_MAX) {
        let payload = serde_json::to_string(some).map_err(Fault::internal)?;
        let row: [Value; 5] =
            [ids.next().into(), topic.into(), payload.into(), ctx.request_id.as_str().into(), now.0.into()];
        connection.execute_raw(statement(connection, sql, row)).await.map_err(fault)?;
    }
    Ok(())
}

/// The oldest messages not yet handed on.
pub(crate) async fn oldest(connection: &impl ConnectionTrait, rows_max: i64) -> Result<Vec<Message>> {
    let sql = "SELECT id, topic, payload, request_id FROM outbox ORDER BY id LIMIT $1";
    let rows = connection.query_all_raw(statement(connection, sql, [rows_max.into()])).await.map_err(fault)?;
    let read = |row: sea_orm::QueryResult| {
        Ok(Message {
            id: row.try_get_by_index(0)?,
            topic: row.try_get_by_index(1)?,
            payload: row.try_get_by_index(2)?,
            request_id: row.try_get_by_index(3)?,
        })
    };
    rows.into_iter().map(read).collect::<Result<_, sea_orm::DbErr>>().map_err(fault)
}

/// How many messages wait.
pub async fn backlog(connection: &impl ConnectionTrait) -> Result<i64> {
    let row =
        connection.query_one_raw(statement(connection, "SELECT count(*) FROM outbox", [])).await.map_err(fault)?;
    let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?;
    Ok(count.unwrap_or(0))
}
