//! Attempts, one statement each.

use db::sea_orm::sea_query::{Expr, OnConflict};
use db::sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, sea_query::ExprTrait as _,
};
use db::{Txn, fault};
use kit::id::{AttemptId, MemberId};
use kit::{Millis, Result};

use crate::entity::attempt::{ActiveModel, Column, Entity, Model};
use crate::state::State;

/// False when the member has an open attempt under this key already.
pub(crate) async fn insert(txn: &Txn, attempt: &Model) -> Result<bool> {
    let mut row: ActiveModel = attempt.clone().into_active_model();
    row = row.reset_all();
    // Without a target: the key of open attempts is a partial index.
    let query = Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
    let rows = query.exec_without_returning(txn).await.map_err(fault)?;
    Ok(rows == 1)
}

pub(crate) async fn find(connection: &impl ConnectionTrait, id: AttemptId) -> Result<Option<Model>> {
    Entity::find_by_id(id.0).one(connection).await.map_err(fault)
}

pub(crate) async fn find_open(connection: &impl ConnectionTrait, member: MemberId, key: &str) -> Result<Option<Model>> {
    Entity::find()
        .filter(Column::MemberId.eq(member.0))
        .filter(Column::Key.eq(key))
        .filter(Column::EndedAtMs.is_null())
        .one(connection)
        .await
        .map_err(fault)
}

pub(crate) async fn count_open(connection: &impl ConnectionTrait) -> Result<i64> {
    let count = Entity::find().filter(Column::EndedAtMs.is_null()).count(connection).await.map_err(fault)?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Open attempts that nobody is said to drive, longest waiting first.
pub(crate) async fn list_due(connection: &impl ConnectionTrait, now: Millis, rows_max: u64) -> Result<Vec<Model>> {
    Entity::find()
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::NextTryAtMs.lte(now.0))
        .order_by_asc(Column::NextTryAtMs)
        .limit(rows_max)
        .all(connection)
        .await
        .map_err(fault)
}

/// What becomes known with a move.
#[derive(Default)]
pub(crate) struct Change {
    pub amount_minor: Option<i64>,
    pub refusal: Option<String>,
}

/// Writes the attempt as it is after a move from `from`; false when somebody else has moved it.
pub(crate) async fn advance(connection: &impl ConnectionTrait, from: State, moved: &Model) -> Result<bool> {
    let done = Entity::update_many()
        .col_expr(Column::State, Expr::value(moved.state))
        .col_expr(Column::AmountMinor, Expr::value(moved.amount_minor))
        .col_expr(Column::Refusal, Expr::value(moved.refusal.clone()))
        .col_expr(Column::NextTryAtMs, Expr::value(moved.next_try_at_ms))
        .col_expr(Column::EndedAtMs, Expr::value(moved.ended_at_ms))
        .filter(Column::Id.eq(moved.id))
        .filter(Column::State.eq(from))
        .exec(connection)
        .await
        .map_err(fault)?;
    Ok(done.rows_affected == 1)
}

/// Takes an open attempt for driving until `until`; false when somebody else was faster.
pub(crate) async fn lease(connection: &impl ConnectionTrait, attempt: &Model, until: Millis) -> Result<bool> {
    let done = Entity::update_many()
        .col_expr(Column::NextTryAtMs, Expr::value(until.0))
        .col_expr(Column::Tries, Expr::col(Column::Tries).add(1_i64))
        .filter(Column::Id.eq(attempt.id))
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::NextTryAtMs.eq(attempt.next_try_at_ms))
        .exec(connection)
        .await
        .map_err(fault)?;
    Ok(done.rows_affected == 1)
}

/// Lets the attempt rest until `until`.
pub(crate) async fn rest(connection: &impl ConnectionTrait, id: AttemptId, until: Millis) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::NextTryAtMs, Expr::value(until.0))
        .filter(Column::Id.eq(id.0))
        .filter(Column::EndedAtMs.is_null())
        .exec(connection)
        .await
        .map(|_| ())
        .map_err(fault)
}

/// Gives every open attempt free at `now`: for a start on a database that no other process decides on.
pub(crate) async fn release_all(connection: &impl ConnectionTrait, now: Millis) -> Result<u64> {
    let done = Entity::update_many()
        .col_expr(Column::NextTryAtMs, Expr::value(now.0))
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::NextTryAtMs.gt(now.0))
        .exec(connection)
        .await
        .map_err(fault)?;
    Ok(done.rows_affected)
}
