//! The queue of mails. Recipient and text are sealed, and gone once a mail has left.

use db::{fault, statement};
use kit::{Millis, Result};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder as _, QuerySelect as _, Value};

use crate::mail::State;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub member_id: Uuid,
    pub data_key_id: Uuid,
    pub recipient_index: Vec<u8>,
    pub subject: String,
    pub recipient: Option<Vec<u8>>,
    pub body: Option<Vec<u8>>,
    pub state: String,
    pub attempts: i64,
    pub due_at_ms: i64,
    pub created_at_ms: i64,
    pub sent_at_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn insert(txn: &impl ConnectionTrait, mail: Model) -> Result<()> {
    let row = ActiveModel {
        id: Set(mail.id),
        member_id: Set(mail.member_id),
        data_key_id: Set(mail.data_key_id),
        recipient_index: Set(mail.recipient_index),
        subject: Set(mail.subject),
        recipient: Set(mail.recipient),
        body: Set(mail.body),
        state: Set(mail.state),
        attempts: Set(mail.attempts),
        due_at_ms: Set(mail.due_at_ms),
        created_at_ms: Set(mail.created_at_ms),
        sent_at_ms: Set(mail.sent_at_ms),
    };
    Entity::insert(row).exec_without_returning(txn).await.map_err(fault).map(|_| ())
}

/// How many mails an address was written since then.
pub(crate) async fn count(txn: &impl ConnectionTrait, recipient_index: &[u8], since: Millis) -> Result<i64> {
    let sql = "SELECT count(*) FROM mail WHERE recipient_index = $1 AND created_at_ms > $2";
    let values: [Value; 2] = [recipient_index.to_vec().into(), since.0.into()];
    let row = txn.query_one_raw(statement(txn, sql, values)).await.map_err(fault)?;
    Ok(row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?.unwrap_or(0))
}

/// Those that wait and are due, the longest waiting first.
pub(crate) async fn due(connection: &impl ConnectionTrait, now: Millis, rows_max: u64) -> Result<Vec<Model>> {
    Entity::find()
        .filter(Column::State.eq(State::Queued.as_str()))
        .filter(Column::DueAtMs.lte(now.0))
        .order_by_asc(Column::DueAtMs)
        .limit(rows_max)
        .all(connection)
        .await
        .map_err(fault)
}

/// Takes a mail that was due at `seen` for one attempt, until `until`; false when somebody else has it.
pub(crate) async fn lease(txn: &impl ConnectionTrait, mail: Uuid, seen: Millis, until: Millis) -> Result<bool> {
    let sql = "UPDATE mail SET due_at_ms = $1, attempts = attempts + 1
               WHERE id = $2 AND state = $3 AND due_at_ms = $4";
    let values: [Value; 4] = [until.0.into(), mail.into(), State::Queued.as_str().into(), seen.0.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected() == 1)
}

/// A failed attempt: the next one is due then.
pub(crate) async fn put_off(txn: &impl ConnectionTrait, mail: Uuid, due_at: Millis) -> Result<()> {
    let sql = "UPDATE mail SET due_at_ms = $1 WHERE id = $2 AND state = $3";
    let values: [Value; 3] = [due_at.0.into(), mail.into(), State::Queued.as_str().into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Moves a mail out of the queue and forgets whom it was for and what it said.
pub(crate) async fn close(txn: &impl ConnectionTrait, mail: Uuid, state: State, now: Millis) -> Result<()> {
    let sql = "UPDATE mail SET state = $1, sent_at_ms = $2, recipient = NULL, body = NULL WHERE id = $3 AND state = $4";
    let values: [Value; 4] = [state.as_str().into(), now.0.into(), mail.into(), State::Queued.as_str().into()];
    txn.execute_raw(statement(txn, sql, values)).await.map_err(fault).map(|_| ())
}

/// Those written after `since`, newest first.
pub(crate) async fn recent(connection: &impl ConnectionTrait, since: Millis, rows_max: u64) -> Result<Vec<Model>> {
    Entity::find()
        .filter(Column::CreatedAtMs.gt(since.0))
        .order_by_desc(Column::CreatedAtMs)
        .order_by_desc(Column::Id)
        .limit(rows_max)
        .all(connection)
        .await
        .map_err(fault)
}

/// Forgets those that left the queue and were written before `before`, at most `rows_max` at once; how many.
pub(crate) async fn purge(txn: &impl ConnectionTrait, before: Millis, rows_max: i64) -> Result<u64> {
    let sql = "DELETE FROM mail WHERE id IN
               (SELECT id FROM mail WHERE state <> $1 AND created_at_ms < $2 LIMIT $3)";
    let values: [Value; 3] = [State::Queued.as_str().into(), before.0.into(), rows_max.into()];
    Ok(txn.execute_raw(statement(txn, sql, values)).await.map_err(fault)?.rows_affected())
}
