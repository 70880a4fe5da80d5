//! Wrapped data keys.

use db::Rows;
use kit::Result;
use kit::id::MemberId;
use sea_orm::ConnectionTrait;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "data_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub member_id: Uuid,
    pub wrapped: Vec<u8>,
    pub created_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn insert(txn: &impl ConnectionTrait, keys: Vec<Model>) -> Result<()> {
    let mut rows = Rows::<4>::new();
    for key in keys {
        rows.push([key.id.into(), key.member_id.into(), key.wrapped.into(), key.created_at_ms.into()]);
    }
    rows.execute(txn, "INSERT INTO data_key (id, member_id, wrapped, created_at_ms) VALUES {rows}").await.map(|_| ())
}

/// The wrapped key `id` of a member; absent when the member was shredded.
pub(crate) async fn find(connection: &impl ConnectionTrait, member: MemberId, id: Uuid) -> Result<Option<Vec<u8>>> {
    let found = Entity::find_by_id(id).filter(Column::MemberId.eq(member.0)).one(connection).await;
    Ok(found.map_err(db::fault)?.map(|key| key.wrapped))
}
