//! Orders and their lines, for reading.

use contract::order::{LineView, OrderQuery, OrderState, OrderView, StoreLine};
use db::sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use db::{Rows, fault, statement};
use kit::id::{ItemId, MemberId, OptionId, OrderId, StoreId, id_floor};
use kit::{Currency, Millis, Money, Result};
use uuid::Uuid;

use crate::intake::StockKey;
use crate::state;

const COLUMNS: &str = "o.id, o.total_minor, o.placed_at_ms, o.hold_expires_at_ms, o.attempt_id, o.hold_ended_at_ms,
    o.paid_at_ms";

/// The member's order.
pub async fn find(
    connection: &impl ConnectionTrait,
    member: MemberId,
    order: OrderId,
    currency: Currency,
) -> Result<Option<OrderView>> {
    let sql = format!("SELECT {COLUMNS} FROM orders o WHERE o.id = $1 AND o.member_id = $2");
    let values: [Value; 2] = [order.0.into(), member.0.into()];
    let row = connection.query_one_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let heads = row.iter().map(|row| read_head(row, currency)).collect::<Result<Vec<_>, DbErr>>().map_err(fault)?;
    Ok(with_lines(connection, heads).await?.pop())
}

/// The member's orders before the order `before`, newest first.
pub async fn list(
    connection: &impl ConnectionTrait,
    member: MemberId,
    query: &OrderQuery,
    before: Option<Uuid>,
    rows_max: usize,
    currency: Currency,
) -> Result<Vec<OrderView>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM orders o WHERE o.member_id = $1 AND ($2 IS NULL OR o.id < $2)
        AND ($3 IS NULL OR o.placed_at_ms >= $3) AND ($4 IS NULL OR o.placed_at_ms < $4)
        AND ($5 IS NULL OR EXISTS (SELECT 1 FROM line l WHERE l.order_id = o.id AND l.state = $5))
        ORDER BY o.id DESC LIMIT $6"
    );
    let values: [Value; 6] = [
        member.0.into(),
        before.into(),
        query.from.map(|at| at.0).into(),
        query.to.map(|at| at.0).into(),
        query.state.map(|state| state::text(state).to_owned()).into(),
        i64::try_from(rows_max).unwrap_or(i64::MAX).into(),
    ];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let heads = rows.iter().map(|row| read_head(row, currency)).collect::<Result<Vec<_>, DbErr>>().map_err(fault)?;
    with_lines(connection, heads).await
}

fn read_head(row: &QueryResult, currency: Currency) -> Result<OrderView, DbErr> {
    let hold_expires_at = Millis(row.try_get_by_index(3)?);
    let open = row.try_get_by_index::<Option<i64>>(5)?.is_none();
    Ok(OrderView {
        id: OrderId(row.try_get_by_index(0)?),
        state: OrderState::Held,
        total: Money::new(row.try_get_by_index(1)?, currency),
        lines: Vec::new(),
        placed_at: Millis(row.try_get_by_index(2)?),
        hold_expires_at: open.then_some(hold_expires_at),
        paid_at: row.try_get_by_index::<Option<i64>>(6)?.map(Millis),
        payment_running: open && row.try_get_by_index::<Option<Uuid>>(4)?.is_some(),
    })
}

const LINE_COLUMNS: &str = "l.order_id, l.line_no, l.option_id, f.item_id, l.store_id, l.sale_id, f.item_name,
    f.option_name, l.quantity, l.unit_price_minor, l.state";

/// Fills in the lines of all orders with one statement, and the state that follows from them.
async fn with_lines(connection: &impl ConnectionTrait, mut orders: Vec<OrderView>) -> Result<Vec<OrderView>> {
    let mut rows = Rows::<1>::new();
    for order in &orders {
        rows.push([order.id.0.into()]);
    }
    let sql = format!(
        "WITH wanted (id) AS (VALUES {{rows}})
        SELECT {LINE_COLUMNS} FROM wanted w JOIN line l ON l.order_id = w.id JOIN offer f ON f.id = l.offer_id
        ORDER BY l.order_id, l.line_no"
    );
    for row in rows.query(connection, &sql).await? {
        let (order, line) = read_line(&row)?;
        if let Some(found) = orders.iter_mut().find(|found| found.id == order) {
            found.lines.push(line);
        }
    }
    for order in &mut orders {
        order.state = state::of_order(order.lines.iter().map(|line| line.state));
    }
    Ok(orders)
}

fn read_line(row: &QueryResult) -> Result<(OrderId, LineView)> {
    let state: String = row.try_get_by_index(10).map_err(fault)?;
    let state = state::parse(&state)?;
    let read = || {
        let option = row.try_get_by_index(2)?;
        let line = LineView {
            line_no: row.try_get_by_index(1)?,
            option_id: OptionId(option),
            item_id: ItemId(row.try_get_by_index(3)?),
            store_id: StoreId(row.try_get_by_index(4)?),
            sale_id: StockKey::from_columns(option, row.try_get_by_index(5)?).sale(),
            item_name: row.try_get_by_index(6)?,
            option_name: row.try_get_by_index(7)?,
            quantity: row.try_get_by_index(8)?,
            unit_price: row.try_get_by_index(9)?,
            state,
        };
        Ok((OrderId(row.try_get_by_index(0)?), line))
    };
    read().map_err(fault)
}

/// Lines ordered of the seller's store, before the line `before`, newest first.
pub async fn list_store_lines(
    connection: &impl ConnectionTrait,
    seller: MemberId,
    store: StoreId,
    query: &OrderQuery,
    before: Option<(Uuid, i64)>,
    rows_max: usize,
) -> Result<Vec<StoreLine>> {
    let sql = format!(
        "SELECT {LINE_COLUMNS}, o.placed_at_ms
        FROM line l JOIN offer f ON f.id = l.offer_id JOIN orders o ON o.id = l.order_id
        WHERE l.store_id = $1 AND f.seller_id = $2
        AND ($3 IS NULL OR l.order_id < $3 OR (l.order_id = $3 AND l.line_no < $4))
        AND ($5 IS NULL OR o.placed_at_ms >= $5) AND ($6 IS NULL OR o.placed_at_ms < $6)
        AND ($7 IS NULL OR l.state = $7)
        ORDER BY l.order_id DESC, l.line_no DESC LIMIT $8"
    );
    let values: [Value; 8] = [
        store.0.into(),
        seller.0.into(),
        before.map(|(order, _)| order).into(),
        before.map(|(_, line)| line).into(),
        query.from.map(|at| at.0).into(),
        query.to.map(|at| at.0).into(),
        query.state.map(|state| state::text(state).to_owned()).into(),
        i64::try_from(rows_max).unwrap_or(i64::MAX).into(),
    ];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: &QueryResult| {
        let (order_id, line) = read_line(row)?;
        Ok(StoreLine { order_id, placed_at: Millis(row.try_get_by_index(11).map_err(fault)?), line })
    };
    rows.iter().map(read).collect()
}

/// Whether the store is known here and belongs to the seller.
pub async fn owns_store(connection: &impl ConnectionTrait, seller: MemberId, store: StoreId) -> Result<bool> {
    let sql = "SELECT 1 FROM store WHERE id = $1 AND seller_id = $2";
    let values: [Value; 2] = [store.0.into(), seller.0.into()];
    connection.query_one_raw(statement(connection, sql, values)).await.map(|row| row.is_some()).map_err(fault)
}

/// Members who placed an order of `key` since `since`.
pub async fn holders(
    connection: &impl ConnectionTrait,
    store: StoreId,
    key: StockKey,
    since: Millis,
    rows_max: usize,
) -> Result<Vec<MemberId>> {
    let sql = "SELECT DISTINCT o.member_id FROM line l JOIN orders o ON o.id = l.order_id
        WHERE l.store_id = $1 AND l.order_id >= $2 AND l.option_id = $3 AND l.sale_id = $4 LIMIT $5";
    let (option, sale) = key.columns();
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let values: [Value; 5] = [store.0.into(), id_floor(since.0).into(), option.into(), sale.into(), limit.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let read = |row: QueryResult| row.try_get_by_index(0).map(MemberId);
    rows.into_iter().map(read).collect::<Result<_, DbErr>>().map_err(fault)
}

/// Orders whose hold has run out with no payment running, oldest first.
pub async fn list_due(connection: &impl ConnectionTrait, now: Millis, rows_max: i64) -> Result<Vec<OrderId>> {
    let sql = "SELECT id FROM orders WHERE hold_ended_at_ms IS NULL AND hold_expires_at_ms <= $1
        AND attempt_id IS NULL ORDER BY hold_expires_at_ms LIMIT $2";
    let values: [Value; 2] = [now.0.into(), rows_max.into()];
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    rows.into_iter().map(|row| row.try_get_by_index(0).map(OrderId)).collect::<Result<_, DbErr>>().map_err(fault)
}
