//! The inbox: messages whose effect is committed.

use db::{fault, statement};
use kit::{Millis, Result};
use sea_orm::{ConnectionTrait, Value};

use crate::Message;

/// Notes the message in the caller's transaction; false when its effect is there already.
pub async fn first_time(
    connection: &impl ConnectionTrait,
    consumer: &str,
    message: &Message,
    now: Millis,
) -> Result<bool> {
    let sql = "INSERT INTO inbox (consumer, message_id, received_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let row: [Value; 3] = [consumer.into(), message.id.into(), now.0.into()];
    let done = connection.execute_raw(statement(connection, sql, row)).await.map_err(fault)?;
    Ok(done.rows_affected() == 1)
}

/// Forgets what was received before `before`: far longer ago than any transport repeats.
pub async fn purge(connection: &impl ConnectionTrait, before: Millis) -> Result<u64> {
    let sql = "DELETE FROM inbox WHERE received_at_ms < $1";
    let done = connection.execute_raw(statement(connection, sql, [before.0.into()])).await.map_err(fault)?;
    Ok(done.rows_affected())
}
