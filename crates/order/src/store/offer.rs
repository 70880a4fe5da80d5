//! The local copy of what the catalogue offers.

use contract::event::{ItemOffer, OptionOffer};
use db::sea_orm::{ConnectionTrait, Value};
use db::{fault, statement};
use kit::id::OptionId;
use kit::{Millis, Result};
use uuid::Uuid;

use super::stock::one_row;

/// A version of what is sold, kept for ever.
pub async fn create(
    connection: &impl ConnectionTrait,
    id: Uuid,
    item: &ItemOffer,
    option: &OptionOffer,
    now: Millis,
) -> Result<()> {
    let sql = "INSERT INTO offer (id, option_id, item_id, store_id, seller_id, item_name, option_name, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values: [Value; 8] = [
        id.into(),
        option.option.0.into(),
        item.item.0.into(),
        item.store.0.into(),
        item.seller.0.into(),
        item.item_name.as_str().into(),
        option.name.as_str().into(),
        now.0.into(),
    ];
    one_row(connection, sql, values).await.map(|_| ())
}

/// The store and its seller are known here from the first item on.
pub async fn note_store(connection: &impl ConnectionTrait, item: &ItemOffer) -> Result<()> {
    let sql = "INSERT INTO store (id, seller_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let values: [Value; 2] = [item.store.0.into(), item.seller.0.into()];
    connection.execute_raw(statement(connection, sql, values)).await.map(|_| ()).map_err(fault)
}

/// The version of the option on the shelf, when it is known.
pub async fn version(connection: &impl ConnectionTrait, option: OptionId) -> Result<Option<i64>> {
    let sql = "SELECT version FROM stock WHERE option_id = $1 AND sale_id = $2";
    let values: [Value; 2] = [option.0.into(), Uuid::nil().into()];
    let row = connection.query_one_raw(statement(connection, sql, values)).await.map_err(fault)?;
    row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)
}

/// Puts a new option on the shelf with its first units; false when it is there already.
pub async fn put_on_shelf(
    connection: &impl ConnectionTrait,
    offer: Uuid,
    item: &ItemOffer,
    option: &OptionOffer,
) -> Result<bool> {
    let sql = "INSERT INTO stock (option_id, sale_id, offer_id, store_id, seller_id, item_id, price_minor, on_sale,
            version, limit_quantity, limit_days, supplied, available, held, sold, written_off)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 0, 0, 0) ON CONFLICT DO NOTHING";
    let values: [Value; 12] = [
        option.option.0.into(),
        Uuid::nil().into(),
        offer.into(),
        item.store.0.into(),
        item.seller.0.into(),
        item.item.0.into(),
        option.price.into(),
        (item.on_sale && !option.withdrawn).into(),
        item.version.into(),
        option.limit_per_member.into(),
        option.limit_days.into(),
        option.initial_stock.into(),
    ];
    one_row(connection, sql, values).await
}

/// Brings all rows of the option up to the offer, unless they are newer. A sale keeps its own price and limit.
pub async fn update(
    connection: &impl ConnectionTrait,
    offer: Uuid,
    item: &ItemOffer,
    option: &OptionOffer,
) -> Result<()> {
    let sql = "UPDATE stock SET offer_id = $2, on_sale = $3, version = $4, limit_quantity = $5, limit_days = $6,
            price_minor = CASE WHEN sale_id = $8 THEN $7 ELSE price_minor END
        WHERE option_id = $1 AND version < $4";
    let values: [Value; 8] = [
        option.option.0.into(),
        offer.into(),
        (item.on_sale && !option.withdrawn).into(),
        item.version.into(),
        option.limit_per_member.into(),
        option.limit_days.into(),
        option.price.into(),
        Uuid::nil().into(),
    ];
    connection.execute_raw(statement(connection, sql, values)).await.map(|_| ()).map_err(fault)
}

/// All rows of an option: the shelf and its sales.
pub async fn sales_of(connection: &impl ConnectionTrait, option: OptionId) -> Result<Vec<Uuid>> {
    let sql = "SELECT sale_id FROM stock WHERE option_id = $1";
    let rows = connection.query_all_raw(statement(connection, sql, [option.0.into()])).await.map_err(fault)?;
    rows.into_iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>().map_err(fault)
}
