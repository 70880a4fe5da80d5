//! Limited sales.

use contract::order::{Sale, SaleLine};
use db::sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use db::{Rows, fault, statement};
use kit::id::{ItemId, MemberId, OptionId, SaleId, StoreId};
use kit::{Millis, Result};
use uuid::Uuid;

use super::stock::one_row;

pub async fn create(connection: &impl ConnectionTrait, seller: MemberId, sale: &Sale) -> Result<()> {
    let sql = "INSERT INTO sale (id, store_id, seller_id, name, opens_at_ms, closes_at_ms, limit_per_member,
        created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values: [Value; 8] = [
        sale.id.0.into(),
        sale.store_id.0.into(),
        seller.0.into(),
        sale.name.as_str().into(),
        sale.opens_at.0.into(),
        sale.closes_at.0.into(),
        sale.limit_per_member.into(),
        sale.now.0.into(),
    ];
    one_row(connection, sql, values).await.map(|_| ())
}

const COLUMNS: &str = "id, store_id, name, opens_at_ms, closes_at_ms, limit_per_member";

pub async fn find(connection: &impl ConnectionTrait, sale: SaleId, now: Millis) -> Result<Option<Sale>> {
    let sql = format!("SELECT {COLUMNS} FROM sale WHERE id = $1");
    let row = connection.query_one_raw(statement(connection, sql, [sale.0.into()])).await.map_err(fault)?;
    let found = row.iter().map(|row| read(row, now)).collect::<Result<Vec<_>, DbErr>>().map_err(fault)?;
    Ok(with_lines(connection, found).await?.pop())
}

/// Sales that close after `now`, behind `after` in the order of their closing.
pub async fn list(
    connection: &impl ConnectionTrait,
    store: Option<StoreId>,
    after: Option<(i64, Uuid)>,
    now: Millis,
    rows_max: usize,
) -> Result<Vec<Sale>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sale WHERE closes_at_ms > $1 AND ($2 IS NULL OR store_id = $2)
        AND ($3 IS NULL OR closes_at_ms > $3 OR (closes_at_ms = $3 AND id > $4)) ORDER BY closes_at_ms, id LIMIT $5"
    );
    let values: [Value; 5] = [
        now.0.into(),
        store.map(|store| store.0).into(),
        after.map(|(closes, _)| closes).into(),
        after.map(|(_, id)| id).into(),
        i64::try_from(rows_max).unwrap_or(i64::MAX).into(),
    ];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let sales = rows.iter().map(|row| read(row, now)).collect::<Result<Vec<_>, DbErr>>().map_err(fault)?;
    with_lines(connection, sales).await
}

fn read(row: &QueryResult, now: Millis) -> Result<Sale, DbErr> {
    Ok(Sale {
        id: SaleId(row.try_get_by_index(0)?),
        store_id: StoreId(row.try_get_by_index(1)?),
        name: row.try_get_by_index(2)?,
        opens_at: Millis(row.try_get_by_index(3)?),
        closes_at: Millis(row.try_get_by_index(4)?),
        limit_per_member: row.try_get_by_index(5)?,
        lines: Vec::new(),
        now,
    })
}

async fn with_lines(connection: &impl ConnectionTrait, mut sales: Vec<Sale>) -> Result<Vec<Sale>> {
    let mut rows = Rows::<1>::new();
    for sale in &sales {
        rows.push([sale.id.0.into()]);
    }
    let sql = "WITH wanted (id) AS (VALUES {rows})
        SELECT s.sale_id, s.option_id, s.item_id, f.item_name, f.option_name, s.price_minor, s.supplied, s.available
        FROM wanted w JOIN stock s ON s.sale_id = w.id JOIN offer f ON f.id = s.offer_id
        ORDER BY s.sale_id, s.option_id";
    for row in rows.query(connection, sql).await? {
        let read = || {
            let line = SaleLine {
                option_id: OptionId(row.try_get_by_index(1)?),
                item_id: ItemId(row.try_get_by_index(2)?),
                item_name: row.try_get_by_index(3)?,
                option_name: row.try_get_by_index(4)?,
                price: row.try_get_by_index(5)?,
                quantity: row.try_get_by_index(6)?,
                available: row.try_get_by_index(7)?,
            };
            Ok((SaleId(row.try_get_by_index(0)?), line))
        };
        let (id, line) = read().map_err(fault)?;
        if let Some(sale) = sales.iter_mut().find(|sale| sale.id == id) {
            sale.lines.push(line);
        }
    }
    Ok(sales)
}
