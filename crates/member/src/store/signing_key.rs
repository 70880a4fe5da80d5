//! Signing keys, sealed.

use db::fault;
use kit::{Millis, Result};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, ExprTrait as _, QueryOrder as _};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub pkcs8: Vec<u8>,
    pub created_at_ms: i64,
    pub retired_at_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn insert(txn: &impl ConnectionTrait, id: Uuid, pkcs8: Vec<u8>, now: Millis) -> Result<()> {
    let row = ActiveModel { id: Set(id), pkcs8: Set(pkcs8), created_at_ms: Set(now.0), retired_at_ms: Set(None) };
    Entity::insert(row).exec_without_returning(txn).await.map_err(fault).map(|_| ())
}

/// Those that are believed at `now`, newest first.
pub(crate) async fn list(connection: &impl ConnectionTrait, now: Millis) -> Result<Vec<Model>> {
    let believed = Column::RetiredAtMs.is_null().or(Column::RetiredAtMs.gt(now.0));
    Entity::find()
        .filter(believed)
        .order_by_desc(Column::CreatedAtMs)
        .order_by_desc(Column::Id)
        .all(connection)
        .await
        .map_err(fault)
}
