//! Stores.

use contract::catalog::Store;
use db::fault;
use kit::{Millis, Result};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait as _, LikeExpr, LockType};
use sea_orm::{ActiveValue::Set, IntoActiveModel as _, QueryOrder as _, QuerySelect as _};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "store")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub seller_id: Uuid,
    pub name: String,
    pub name_folded: String,
    pub description: String,
    pub opened_at_ms: i64,
    pub closed_at_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Store {
    fn from(row: Model) -> Self {
        Self {
            id: row.id.into(),
            seller_id: row.seller_id.into(),
            name: row.name,
            description: row.description,
            opened_at: Millis(row.opened_at_ms),
            closed_at: row.closed_at_ms.map(Millis),
        }
    }
}

/// The form in which names are compared and searched.
pub(crate) fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

pub(crate) async fn insert(connection: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(connection).await.map(|_| ())
}

pub(crate) async fn find(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>> {
    Entity::find_by_id(id).one(connection).await.map_err(fault)
}

/// Also keeps others from changing the store, or adding to it, until the transaction ends.
///
/// The store's key stays free to be referred to: an item whose stock turned checks that its store is there, and would
/// otherwise wait for whoever creates an item of the same name, who waits for it.
pub(crate) async fn lock(connection: &impl ConnectionTrait, seller: Uuid, id: Uuid) -> Result<Option<Model>> {
    let own = Entity::find_by_id(id).filter(Column::SellerId.eq(seller)).lock(LockType::NoKeyUpdate);
    own.one(connection).await.map_err(fault)
}

pub(crate) async fn rename(connection: &impl ConnectionTrait, seller: Uuid, row: &Model) -> Result<(), DbErr> {
    let change = ActiveModel {
        name: Set(row.name.clone()),
        name_folded: Set(row.name_folded.clone()),
        description: Set(row.description.clone()),
        ..Default::default()
    };
    let own = Entity::update_many().set(change).filter(Column::Id.eq(row.id)).filter(Column::SellerId.eq(seller));
    own.exec(connection).await.map(|_| ())
}

pub(crate) async fn close(connection: &impl ConnectionTrait, seller: Uuid, id: Uuid, now: Millis) -> Result<()> {
    let change = ActiveModel { closed_at_ms: Set(Some(now.0)), ..Default::default() };
    let own = Entity::update_many().set(change).filter(Column::Id.eq(id)).filter(Column::SellerId.eq(seller));
    own.exec(connection).await.map(|_| ()).map_err(fault)
}

/// Open stores, of one seller when given, whose folded name contains `part`, newest first, from behind `after` on.
pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    seller: Option<Uuid>,
    part: Option<&str>,
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Model>> {
    let mut stores = Entity::find().filter(Column::ClosedAtMs.is_null());
    if let Some(seller) = seller {
        stores = stores.filter(Column::SellerId.eq(seller));
    }
    if let Some(part) = part {
        stores = stores.filter(Expr::col(Column::NameFolded).like(containing(part)));
    }
    if let Some((opened_at_ms, id)) = after {
        let key = Expr::tuple([Expr::col(Column::OpenedAtMs), Expr::col(Column::Id)]);
        stores = stores.filter(key.lt(Expr::tuple([Expr::value(opened_at_ms), Expr::value(id)])));
    }
    stores = stores.order_by_desc(Column::OpenedAtMs).order_by_desc(Column::Id).limit(limit);
    stores.all(connection).await.map_err(fault)
}

/// A LIKE pattern for texts that contain `part`, whose own `%` and `_` mean themselves.
fn containing(part: &str) -> LikeExpr {
    let part = part.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    LikeExpr::new(format!("%{part}%")).escape('!')
}
