//! Categories.

use contract::catalog::Category;
use db::fault;
use kit::Result;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, IntoActiveModel as _, QueryOrder as _, QuerySelect as _};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "category")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Nil for a root.
    pub parent_id: Uuid,
    pub name: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Category {
    fn from(row: Model) -> Self {
        let parent_id = (!row.parent_id.is_nil()).then(|| row.parent_id.into());
        Self { id: row.id.into(), name: row.name, parent_id }
    }
}

pub(crate) async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Entity::find().order_by_asc(Column::Id).all(connection).await.map_err(fault)
}

/// Also keeps others from changing the tree, and items from moving into it, until the transaction ends.
pub(crate) async fn lock_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Entity::find().order_by_asc(Column::Id).lock_exclusive().all(connection).await.map_err(fault)
}

pub(crate) async fn insert(connection: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(connection).await.map(|_| ())
}

pub(crate) async fn update(connection: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    let change = ActiveModel { parent_id: Set(row.parent_id), name: Set(row.name), ..Default::default() };
    let one = Entity::update_many().set(change).filter(Column::Id.eq(row.id));
    one.exec(connection).await.map(|_| ())
}

/// Moves the children of `from` below `to`.
pub(crate) async fn move_children(connection: &impl ConnectionTrait, from: Uuid, to: Uuid) -> Result<(), DbErr> {
    let change = ActiveModel { parent_id: Set(to), ..Default::default() };
    let children = Entity::update_many().set(change).filter(Column::ParentId.eq(from));
    children.exec(connection).await.map(|_| ())
}

pub(crate) async fn delete(connection: &impl ConnectionTrait, id: Uuid) -> Result<()> {
    Entity::delete_by_id(id).exec(connection).await.map(|_| ()).map_err(fault)
}

/// The category and all below it; none when there is no such category.
pub(crate) async fn subtree(connection: &impl ConnectionTrait, id: Uuid) -> Result<Vec<Uuid>> {
    // UNION, not UNION ALL: ends even if rows formed a circle.
    let sql = "WITH RECURSIVE below (id) AS (
                   SELECT id FROM category WHERE id = $1
                   UNION SELECT c.id FROM category c JOIN below b ON c.parent_id = b.id
               ) SELECT id FROM below";
    let rows = connection.query_all_raw(db::statement(connection, sql, [id.into()])).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, DbErr>>().map_err(fault)
}
