//! Items and their texts.

use std::collections::BTreeMap;

use db::{Rows, fault, statement};
use kit::Result;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait as _, LockType};
use sea_orm::{ActiveValue::Set, FromQueryResult, IntoActiveModel as _, QueryOrder as _, QuerySelect as _};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "item")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub store_id: Uuid,
    pub seller_id: Uuid,
    pub category_id: Uuid,
    pub name: String,
    pub on_sale: bool,
    pub hidden: bool,
    /// The lowest price of the options that are offered.
    pub price_min: i64,
    /// One of the options that are offered can be bought.
    pub in_stock: bool,
    pub sold: i64,
    pub version: i64,
    pub created_at_ms: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An item with its text.
#[derive(FromQueryResult)]
pub(crate) struct WithText {
    #[sea_orm(nested)]
    pub item: Model,
    pub description: String,
}

pub(crate) async fn insert(connection: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(connection).await.map(|_| ())
}

pub(crate) async fn find(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<WithText>> {
    let sql = "SELECT item.*, t.description FROM item JOIN item_text t ON t.item_id = item.id WHERE item.id = $1";
    let found = connection.query_one_raw(statement(connection, sql, [id.into()])).await.map_err(fault)?;
    found.map(|row| WithText::from_query_result(&row, "")).transpose().map_err(fault)
}

/// Items of a store, hidden ones and those off sale too, by name, from behind the item `after` on.
pub(crate) async fn list_own(
    connection: &impl ConnectionTrait,
    seller: Uuid,
    store: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<WithText>> {
    let (behind, after) = match after {
        Some(after) => ("AND item.name > (SELECT name FROM item WHERE id = $4)", Some(after.into())),
        None => ("", None),
    };
    let sql = format!(
        "SELECT item.*, t.description FROM item JOIN item_text t ON t.item_id = item.id
         WHERE item.store_id = $1 AND item.seller_id = $2 {behind} ORDER BY item.name LIMIT $3"
    );
    let values = [store.into(), seller.into(), limit.into()].into_iter().chain(after);
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    rows.iter().map(|row| WithText::from_query_result(row, "")).collect::<Result<_, DbErr>>().map_err(fault)
}

/// Also keeps others from changing the item or its options until the transaction ends.
pub(crate) async fn lock(connection: &impl ConnectionTrait, seller: Uuid, id: Uuid) -> Result<Option<Model>> {
    let own = Entity::find_by_id(id).filter(Column::SellerId.eq(seller)).lock_exclusive();
    own.one(connection).await.map_err(fault)
}

/// Writes what a seller can change.
pub(crate) async fn update(connection: &impl ConnectionTrait, seller: Uuid, row: &Model) -> Result<(), DbErr> {
    let change = ActiveModel {
        category_id: Set(row.category_id),
        name: Set(row.name.clone()),
        on_sale: Set(row.on_sale),
        hidden: Set(row.hidden),
        price_min: Set(row.price_min),
        in_stock: Set(row.in_stock),
        version: Set(row.version),
        ..Default::default()
    };
    let own = Entity::update_many().set(change).filter(Column::Id.eq(row.id)).filter(Column::SellerId.eq(seller));
    own.exec(connection).await.map(|_| ())
}

/// Writes the text of an item, the first or another.
pub(crate) async fn describe(connection: &impl ConnectionTrait, id: Uuid, description: &str) -> Result<()> {
    let sql = "INSERT INTO item_text (item_id, description) VALUES ($1, $2)
               ON CONFLICT (item_id) DO UPDATE SET description = excluded.description";
    let row: [Value; 2] = [id.into(), description.into()];
    connection.execute_raw(statement(connection, sql, row)).await.map(|_| ()).map_err(fault)
}

/// Ids of the store's items that are on sale.
pub(crate) async fn on_sale_in(connection: &impl ConnectionTrait, store: Uuid) -> Result<Vec<Uuid>> {
    let some = Entity::find().filter(Column::StoreId.eq(store)).filter(Column::OnSale.eq(true));
    ids(connection, some).await
}

/// Ids of the items that are in this category itself.
pub(crate) async fn in_category(connection: &impl ConnectionTrait, category: Uuid) -> Result<Vec<Uuid>> {
    ids(connection, Entity::find().filter(Column::CategoryId.eq(category))).await
}

pub(crate) async fn category_is_empty(connection: &impl ConnectionTrait, category: Uuid) -> Result<bool> {
    let one = Entity::find().filter(Column::CategoryId.eq(category)).limit(1);
    ids(connection, one).await.map(|found| found.is_empty())
}

async fn ids(connection: &impl ConnectionTrait, some: Select<Entity>) -> Result<Vec<Uuid>> {
    let ids = some.select_only().column(Column::Id).order_by_asc(Column::Id).into_tuple();
    ids.all(connection).await.map_err(fault)
}

pub(crate) async fn list(connection: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Model>> {
    let some = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).order_by_asc(Column::Id);
    some.all(connection).await.map_err(fault)
}

/// Takes items off the shelf; their versions grow.
pub(crate) async fn end_sale(connection: &impl ConnectionTrait, ids: &[Uuid]) -> Result<()> {
    let some = Entity::update_many()
        .col_expr(Column::OnSale, Expr::value(false))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.is_in(ids.iter().copied()));
    some.exec(connection).await.map(|_| ()).map_err(fault)
}

/// Moves items to another category; their versions grow.
pub(crate) async fn move_to(connection: &impl ConnectionTrait, ids: &[Uuid], category: Uuid) -> Result<()> {
    let some = Entity::update_many()
        .col_expr(Column::CategoryId, Expr::value(category))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.is_in(ids.iter().copied()));
    some.exec(connection).await.map(|_| ()).map_err(fault)
}

/// Keeps others from changing these items, or their options, until the transaction ends. In the order of ids, so that
/// two of these cannot wait for one another.
pub(crate) async fn lock_many(connection: &impl ConnectionTrait, ids: impl IntoIterator<Item = Uuid>) -> Result<()> {
    let some = Entity::find().filter(Column::Id.is_in(ids)).order_by_asc(Column::Id).lock(LockType::NoKeyUpdate);
    let ids = some.select_only().column(Column::Id).into_tuple::<Uuid>();
    ids.all(connection).await.map(|_| ()).map_err(fault)
}

/// Adds units sold, and derives again whether one of the options can be bought.
///
/// In one statement: PostgreSQL checks the references of a row that is changed a second time in a transaction, and
/// would wait for whoever holds the item's category or store, and waits for the item.
pub(crate) async fn note_sales(connection: &impl ConnectionTrait, units: &BTreeMap<Uuid, i64>) -> Result<()> {
    let mut rows = Rows::<2>::new();
    for (&id, &sold) in units {
        rows.push([id.into(), sold.into()]);
    }
    let sql = "WITH told (id, units) AS (VALUES {rows}) UPDATE item SET sold = sold + told.units, in_stock = EXISTS (
                   SELECT 1 FROM item_option o WHERE o.item_id = item.id AND o.in_stock AND NOT o.withdrawn
               ) FROM told WHERE item.id = told.id";
    rows.execute(connection, sql).await.map(|_| ())
}
