//! Options of items.

use db::{Rows, fault};
use kit::Result;
use sea_orm::QueryOrder as _;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "item_option")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub position: i64,
    pub name: String,
    pub price: i64,
    pub initial_stock: i64,
    pub limit_per_member: Option<i64>,
    pub limit_days: Option<i64>,
    pub withdrawn: bool,
    pub in_stock: bool,
    pub turned_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An option that can be bought again, or cannot any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub in_stock: bool,
    pub at_ms: i64,
}

/// The options of one item, withdrawn ones too, in the seller's order.
pub(crate) async fn of_item(connection: &impl ConnectionTrait, item: Uuid) -> Result<Vec<Model>> {
    of_items(connection, &[item]).await
}

/// The options of several items, withdrawn ones too, by item and in the seller's order.
pub(crate) async fn of_items(connection: &impl ConnectionTrait, items: &[Uuid]) -> Result<Vec<Model>> {
    let some = Entity::find().filter(Column::ItemId.is_in(items.iter().copied()));
    let sorted = some.order_by_asc(Column::ItemId).order_by_asc(Column::Position).order_by_asc(Column::Id);
    sorted.all(connection).await.map_err(fault)
}

/// Writes new options, and of known ones what a seller can change.
pub(crate) async fn write(connection: &impl ConnectionTrait, options: &[Model]) -> Result<()> {
    let mut rows = Rows::<11>::new();
    for option in options {
        rows.push([
            option.item_id.into(),
            option.id.into(),
            option.position.into(),
            option.name.clone().into(),
            option.price.into(),
            option.initial_stock.into(),
            option.limit_per_member.into(),
            option.limit_days.into(),
            option.withdrawn.into(),
            option.in_stock.into(),
            option.turned_at_ms.into(),
        ]);
    }
    let sql = "INSERT INTO item_option (item_id, id, position, name, price, initial_stock, limit_per_member,
                                        limit_days, withdrawn, in_stock, turned_at_ms)
               VALUES {rows} ON CONFLICT (item_id, id) DO UPDATE SET
                   position = excluded.position, name = excluded.name, price = excluded.price,
                   limit_per_member = excluded.limit_per_member, limit_days = excluded.limit_days,
                   withdrawn = excluded.withdrawn";
    rows.execute(connection, sql).await.map(|_| ())
}

/// Notes which options turned, unless something later is known of them.
pub(crate) async fn turn(
    connection: &impl ConnectionTrait,
    turned: impl IntoIterator<Item = (Uuid, Uuid, Turn)>,
) -> Result<()> {
    let mut rows = Rows::<4>::new();
    for (item, option, turn) in turned {
        rows.push([item.into(), option.into(), turn.in_stock.into(), turn.at_ms.into()]);
    }
    let sql = "WITH told (item, option, in_stock, at) AS (VALUES {rows})
               UPDATE item_option SET in_stock = told.in_stock, turned_at_ms = told.at FROM told
               WHERE item_id = told.item AND id = told.option AND turned_at_ms <= told.at";
    rows.execute(connection, sql).await.map(|_| ())
}
