//! Stock rows and the stock ledger.

use ahash::{AHashMap, AHashSet};
use contract::order::{Availability, Stock, StockCause, StockEntry};
use db::sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use db::{Rows, fault, statement};
use kit::id::{ItemId, MemberId, OptionId, OrderId, SaleId, StoreId};
use kit::{Fault, Millis, Result};
use uuid::Uuid;

use crate::intake::{StockKey, Window};

/// What may be shown of a row, and what the gate wants to know of it.
pub struct Shown {
    pub now: Availability,
    pub store: StoreId,
    pub window: Option<Window>,
}

pub async fn find(connection: &impl ConnectionTrait, keys: &AHashSet<StockKey>) -> Result<AHashMap<StockKey, Shown>> {
    let mut rows = Rows::<2>::new();
    for key in keys {
        let (option, sale) = key.columns();
        rows.push([option.into(), sale.into()]);
    }
    let sql = "WITH wanted (option_id, sale_id) AS (VALUES {rows})
        SELECT s.option_id, s.sale_id, s.available, s.on_sale, s.store_id, d.opens_at_ms, d.closes_at_ms
        FROM wanted w JOIN stock s ON s.option_id = w.option_id AND s.sale_id = w.sale_id
        LEFT JOIN sale d ON d.id = s.sale_id";
    let found = rows.query(connection, sql).await?;
    found.iter().map(shown).collect::<Result<_, DbErr>>().map_err(fault)
}

fn shown(row: &QueryResult) -> Result<(StockKey, Shown), DbErr> {
    let key = StockKey::from_columns(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    let now = Availability {
        option_id: key.option,
        sale_id: key.sale(),
        available: row.try_get_by_index(2)?,
        on_sale: row.try_get_by_index(3)?,
    };
    let times = (row.try_get_by_index::<Option<i64>>(5)?, row.try_get_by_index::<Option<i64>>(6)?);
    let window = match (key.sale(), times) {
        (Some(sale), (Some(opens), Some(closes))) => {
            Some(Window { sale, opens_at: Millis(opens), closes_at: Millis(closes) })
        }
        _ => None,
    };
    Ok((key, Shown { now, store: StoreId(row.try_get_by_index(4)?), window }))
}

/// What can be bought of these options: on the shelf, and of sales that have not ended.
pub async fn availability(
    connection: &impl ConnectionTrait,
    options: &[OptionId],
    now: Millis,
) -> Result<Vec<Availability>> {
    let mut rows = Rows::<2>::new();
    for option in options {
        rows.push([option.0.into(), now.0.into()]);
    }
    let sql = "WITH wanted (option_id, now) AS (VALUES {rows})
        SELECT s.option_id, s.sale_id, s.available, s.on_sale FROM wanted w JOIN stock s ON s.option_id = w.option_id
        LEFT JOIN sale d ON d.id = s.sale_id WHERE d.id IS NULL OR d.closes_at_ms > w.now
        ORDER BY s.option_id, s.sale_id";
    let read = |row: &QueryResult| {
        let key = StockKey::from_columns(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(Availability {
            option_id: key.option,
            sale_id: key.sale(),
            available: row.try_get_by_index(2)?,
            on_sale: row.try_get_by_index(3)?,
        })
    };
    let found = rows.query(connection, sql).await?;
    found.iter().map(read).collect::<Result<_, DbErr>>().map_err(fault)
}

/// All of the seller's option, shelf and sales together.
pub async fn total(connection: &impl ConnectionTrait, seller: MemberId, option: OptionId) -> Result<Option<Stock>> {
    let sql = "SELECT CAST(sum(supplied) AS bigint),
        CAST(sum(CASE WHEN sale_id = $3 THEN available ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN sale_id = $3 THEN 0 ELSE available END) AS bigint),
        CAST(sum(held) AS bigint), CAST(sum(sold) AS bigint), CAST(sum(written_off) AS bigint)
        FROM stock WHERE option_id = $1 AND seller_id = $2";
    let values: [Value; 3] = [option.0.into(), seller.0.into(), Uuid::nil().into()];
    let row = connection.query_one_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: QueryResult| {
        let Some(supplied) = row.try_get_by_index::<Option<i64>>(0)? else { return Ok(None) };
        Ok(Some(Stock {
            option_id: option,
            supplied,
            available: row.try_get_by_index(1)?,
            set_aside: row.try_get_by_index(2)?,
            held: row.try_get_by_index(3)?,
            sold: row.try_get_by_index(4)?,
            written_off: row.try_get_by_index(5)?,
        }))
    };
    row.map(read).transpose().map_err(fault).map(Option::flatten)
}

/// Adds units to (or, below zero, takes them from) the shelf of the seller's option; false when there are too few.
pub async fn change(
    connection: &impl ConnectionTrait,
    seller: MemberId,
    option: OptionId,
    difference: i64,
) -> Result<bool> {
    // Units taken away are written off: they stay among what was supplied.
    let sql = "UPDATE stock SET available = available + $3, supplied = supplied + $4, written_off = written_off + $5
        WHERE option_id = $1 AND seller_id = $2 AND sale_id = $6 AND available + $3 >= 0";
    let (added, taken) = (difference.max(0), (-difference).max(0));
    let values: [Value; 6] =
        [option.0.into(), seller.0.into(), difference.into(), added.into(), taken.into(), Uuid::nil().into()];
    one_row(connection, sql, values).await
}

/// Takes units of the seller's option off the shelf of the store; false when there are too few.
pub async fn take_from_shelf(
    connection: &impl ConnectionTrait,
    seller: MemberId,
    store: StoreId,
    option: OptionId,
    quantity: i64,
) -> Result<bool> {
    let sql = "UPDATE stock SET available = available - $4, supplied = supplied - $4
        WHERE option_id = $1 AND seller_id = $2 AND store_id = $3 AND sale_id = $5 AND available >= $4";
    let values: [Value; 5] = [option.0.into(), seller.0.into(), store.0.into(), quantity.into(), Uuid::nil().into()];
    one_row(connection, sql, values).await
}

/// Opens the row of `option` in `sale` with `quantity` units at `price`; the rest is copied from the shelf.
pub async fn create_for_sale(
    connection: &impl ConnectionTrait,
    option: OptionId,
    sale: SaleId,
    quantity: i64,
    price: i64,
) -> Result<()> {
    let sql = "INSERT INTO stock (option_id, sale_id, offer_id, store_id, seller_id, item_id, price_minor, on_sale,
            version, supplied, available, held, sold, written_off)
        SELECT option_id, $2, offer_id, store_id, seller_id, item_id, $4, on_sale, version, $3, $3, 0, 0, 0
        FROM stock WHERE option_id = $1 AND sale_id = $5";
    let values: [Value; 5] = [option.0.into(), sale.0.into(), quantity.into(), price.into(), Uuid::nil().into()];
    match one_row(connection, sql, values).await? {
        true => Ok(()),
        false => Err(Fault::internal("the shelf row vanished")),
    }
}

/// Takes what is left of a sale's row out of it; false when it changed meanwhile.
pub async fn take_from_sale(connection: &impl ConnectionTrait, key: StockKey, quantity: i64) -> Result<bool> {
    let (option, sale) = key.columns();
    let sql = "UPDATE stock SET available = available - $3, supplied = supplied - $3
        WHERE option_id = $1 AND sale_id = $2 AND available >= $3";
    let values: [Value; 3] = [option.into(), sale.into(), quantity.into()];
    one_row(connection, sql, values).await
}

pub async fn put_on_shelf(connection: &impl ConnectionTrait, option: OptionId, quantity: i64) -> Result<bool> {
    let sql = "UPDATE stock SET available = available + $2, supplied = supplied + $2
        WHERE option_id = $1 AND sale_id = $3";
    let values: [Value; 3] = [option.0.into(), quantity.into(), Uuid::nil().into()];
    one_row(connection, sql, values).await
}

/// What is left in sales that closed between `after` and `now`.
pub async fn left_in_closed_sales(
    connection: &impl ConnectionTrait,
    after: Millis,
    now: Millis,
    rows_max: i64,
) -> Result<Vec<(StockKey, MemberId, i64)>> {
    let sql = "SELECT s.option_id, s.sale_id, s.seller_id, s.available FROM sale d JOIN stock s ON s.sale_id = d.id
        WHERE d.closes_at_ms > $1 AND d.closes_at_ms <= $2 AND s.available > 0 LIMIT $3";
    let values: [Value; 3] = [after.0.into(), now.0.into(), rows_max.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: QueryResult| {
        let key = StockKey::from_columns(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok((key, MemberId(row.try_get_by_index(2)?), row.try_get_by_index(3)?))
    };
    rows.into_iter().map(read).collect::<Result<_, DbErr>>().map_err(fault)
}

/// A change of what is on hand, to be kept.
pub struct NewEntry<'a> {
    pub id: Uuid,
    pub key: StockKey,
    pub cause: StockCause,
    pub quantity: i64,
    pub actor: MemberId,
    pub note: &'a str,
    pub at: Millis,
}

pub async fn create_entry(connection: &impl ConnectionTrait, entry: NewEntry<'_>) -> Result<()> {
    let sql = "INSERT INTO stock_entry (id, option_id, sale_id, cause, quantity, actor_id, note, at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (option, sale) = entry.key.columns();
    let values: [Value; 8] = [
        entry.id.into(),
        option.into(),
        sale.into(),
        entry.cause.as_str().into(),
        entry.quantity.into(),
        entry.actor.0.into(),
        entry.note.into(),
        entry.at.0.into(),
    ];
    one_row(connection, sql, values).await.map(|_| ())
}

/// Entries of `option` before `before`, newest first, each with its id.
pub async fn list_entries(
    connection: &impl ConnectionTrait,
    option: OptionId,
    before: Option<Uuid>,
    rows_max: usize,
) -> Result<Vec<(Uuid, StockEntry)>> {
    let sql = "SELECT id, sale_id, cause, quantity, order_id, actor_id, note, at_ms FROM stock_entry
        WHERE option_id = $1 AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let values: [Value; 3] = [option.0.into(), before.into(), limit.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    rows.iter().map(|row| read_entry(option, row)).collect()
}

fn read_entry(option: OptionId, row: &QueryResult) -> Result<(Uuid, StockEntry)> {
    let cause: String = row.try_get_by_index(2).map_err(fault)?;
    let cause = StockCause::parse(&cause).ok_or_else(|| Fault::internal(format!("stock cause {cause:?}")))?;
    let read = || {
        let entry = StockEntry {
            sale_id: StockKey::from_columns(option.0, row.try_get_by_index(1)?).sale(),
            cause,
            quantity: row.try_get_by_index(3)?,
            order_id: row.try_get_by_index::<Option<Uuid>>(4)?.map(OrderId),
            actor_id: MemberId(row.try_get_by_index(5)?),
            note: row.try_get_by_index(6)?,
            at: Millis(row.try_get_by_index(7)?),
        };
        Ok((row.try_get_by_index(0)?, entry))
    };
    read().map_err(fault)
}

/// Runs a statement that should affect one row; whether it did.
pub(super) async fn one_row(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<bool> {
    let done = connection.execute_raw(statement(connection, sql, values)).await.map_err(fault)?;
    Ok(done.rows_affected() == 1)
}

pub async fn item_of(connection: &impl ConnectionTrait, option: OptionId) -> Result<Option<ItemId>> {
    let sql = "SELECT item_id FROM stock WHERE option_id = $1 LIMIT 1";
    let row = connection.query_one_raw(statement(connection, sql, [option.0.into()])).await.map_err(fault)?;
    row.map(|row| row.try_get_by_index(0).map(ItemId)).transpose().map_err(fault)
}
