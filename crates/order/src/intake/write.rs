//! Writes what a batch changes, as multi-row statements, each with its guard.
//!
//! A guard that fails means that another process was faster (or that we are wrong): nothing of the batch is
//! committed, and it is decided anew.

use contract::Event;
use contract::event::topic;
use contract::order::StockCause;
use db::{Rows, Txn};
use kit::{Ids, Millis, RequestId, Result};
use serde::Serialize;
use uuid::Uuid;

use super::decide::{Effects, MovedOrder, NewOrder};
use super::job::Ticket;
use super::snapshot::line_no;
use crate::state::{self, Step};

/// Whether everything was written as decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    All,
    /// A guard failed: roll back and decide again.
    Overtaken,
}

/// An event with the request that caused it: a batch holds many.
#[derive(Serialize)]
struct Happened<'a> {
    #[serde(flatten)]
    event: &'a Event,
    request_id: &'a RequestId,
}

/// Writes `effects` in the transaction.
pub async fn write(txn: &Txn, ids: &dyn Ids, batch: &[Ticket], effects: &Effects, now: Millis) -> Result<Written> {
    let kept = write_records(txn, effects, now).await?
        && write_stock(txn, effects).await?
        && write_allowances(txn, effects).await?
        && write_moves(txn, ids, effects, now).await?;
    if !kept {
        return Ok(Written::Overtaken);
    }
    write_orders(txn, &effects.orders).await?;
    let happened: Vec<Happened<'_>> = effects
        .events
        .iter()
        .filter_map(|(job, event)| Some(Happened { event, request_id: &batch.get(*job)?.ctx.request_id }))
        .collect();
    if let Some(first) = batch.first() {
        bus::append(txn, ids, &first.ctx, topic::ORDER, &happened, now).await?;
    }
    Ok(Written::All)
}

async fn write_records(txn: &Txn, effects: &Effects, now: Millis) -> Result<bool> {
    let mut rows = Rows::<6>::new();
    for (claim, order) in &effects.records {
        rows.push([
            claim.member.0.into(),
            (claim.operation as i64).into(),
            claim.key.as_str().into(),
            claim.fingerprint.into(),
            order.0.into(),
            now.0.into(),
        ]);
    }
    let sql = "INSERT INTO idempotency (member_id, operation, key, fingerprint, subject_id, created_at_ms)
        VALUES {rows} ON CONFLICT DO NOTHING";
    all(rows, txn, sql).await
}

async fn write_stock(txn: &Txn, effects: &Effects) -> Result<bool> {
    let mut rows = Rows::<5>::new();
    for (key, delta) in &effects.stock {
        let (option, sale) = key.columns();
        rows.push([option.into(), sale.into(), delta.available.into(), delta.held.into(), delta.sold.into()]);
    }
    let sql = "WITH v (option_id, sale_id, available, held, sold) AS (VALUES {rows})
        UPDATE stock SET available = stock.available + v.available, held = stock.held + v.held,
                         sold = stock.sold + v.sold
        FROM v WHERE stock.option_id = v.option_id AND stock.sale_id = v.sale_id
        AND stock.available + v.available >= 0 AND stock.held + v.held >= 0";
    all(rows, txn, sql).await
}

async fn write_allowances(txn: &Txn, effects: &Effects) -> Result<bool> {
    let mut taken = Rows::<5>::new();
    let mut given_back = Rows::<4>::new();
    for (key, used) in &effects.allowances {
        let (scope, member, day) = (key.scope.into(), key.member.0.into(), key.day.into());
        match used.units {
            0 => {}
            1.. => taken.push([scope, member, day, used.units.into(), used.cap.into()]),
            _ => given_back.push([scope, member, day, (-used.units).into()]),
        }
    }
    let take = "INSERT INTO allowance (scope_id, member_id, day, used, cap) VALUES {rows}
        ON CONFLICT (scope_id, member_id, day) DO UPDATE
        SET used = allowance.used + excluded.used, cap = excluded.cap
        WHERE allowance.used + excluded.used <= excluded.cap";
    let give_back = "WITH v (scope_id, member_id, day, used) AS (VALUES {rows})
        UPDATE allowance SET used = allowance.used - v.used FROM v
        WHERE allowance.scope_id = v.scope_id AND allowance.member_id = v.member_id AND allowance.day = v.day
        AND allowance.used >= v.used";
    Ok(all(taken, txn, take).await? && all(given_back, txn, give_back).await?)
}

async fn write_orders(txn: &Txn, orders: &[NewOrder]) -> Result<()> {
    let mut heads = Rows::<5>::new();
    let mut lines = Rows::<10>::new();
    for NewOrder { placed, member, lines: new } in orders {
        heads.push([
            placed.order_id.0.into(),
            member.0.into(),
            placed.total.amount.into(),
            placed.placed_at.0.into(),
            placed.hold_expires_at.0.into(),
        ]);
        for (index, line) in new.iter().enumerate() {
            let (option, sale) = line.key.columns();
            lines.push([
                placed.order_id.0.into(),
                line_no(index).into(),
                option.into(),
                sale.into(),
                line.stock.store.0.into(),
                line.stock.offer.into(),
                line.quantity.into(),
                line.stock.price.into(),
                state::text(contract::order::OrderState::Held).into(),
                line.allowance_day.into(),
            ]);
        }
    }
    let sql = "INSERT INTO orders (id, member_id, total_minor, placed_at_ms, hold_expires_at_ms) VALUES {rows}";
    heads.execute(txn, sql).await?;
    let sql = "INSERT INTO line (order_id, line_no, option_id, sale_id, store_id, offer_id, quantity,
        unit_price_minor, state, allowance_day) VALUES {rows}";
    lines.execute(txn, sql).await?;
    Ok(())
}

async fn write_moves(txn: &Txn, ids: &dyn Ids, effects: &Effects, now: Millis) -> Result<bool> {
    let mut heads = Rows::<4>::new();
    let mut lines = Rows::<4>::new();
    let mut changes = Rows::<7>::new();
    let mut entries = Rows::<9>::new();
    for moved in effects.moves.values() {
        let ended_at = moved.ended.map(|_| now.0);
        let paid_at = moved.ended.filter(|(step, _)| *step == Step::Pay).map(|_| now.0);
        heads.push([moved.order.0.into(), moved.attempt.map(|a| a.0).into(), ended_at.into(), paid_at.into()]);
        let Some((step, actor)) = moved.ended else { continue };
        let (from, to) = (state::text(moved.from), state::text(moved.to));
        for line in &moved.lines {
            lines.push([moved.order.0.into(), line.line_no.into(), from.into(), to.into()]);
            changes.push([
                moved.order.0.into(),
                line.line_no.into(),
                to.into(),
                from.into(),
                now.0.into(),
                actor.0.into(),
                step.reason().into(),
            ]);
        }
        if step == Step::Pay {
            sold_entries(&mut entries, ids, moved, actor.0, now);
        }
    }
    // The hold must still be open: each ends exactly once.
    let heads_sql = "WITH v (id, attempt_id, ended_at, paid_at) AS (VALUES {rows})
        UPDATE orders SET attempt_id = v.attempt_id, hold_ended_at_ms = v.ended_at, paid_at_ms = v.paid_at
        FROM v WHERE orders.id = v.id AND orders.hold_ended_at_ms IS NULL";
    let lines_sql = "WITH v (order_id, line_no, from_state, to_state) AS (VALUES {rows})
        UPDATE line SET state = v.to_state FROM v
        WHERE line.order_id = v.order_id AND line.line_no = v.line_no AND line.state = v.from_state";
    let kept = all(heads, txn, heads_sql).await? && all(lines, txn, lines_sql).await?;
    let changes_sql = "INSERT INTO line_change (order_id, line_no, to_state, from_state, at_ms, actor_id, reason)
        VALUES {rows}";
    changes.execute(txn, changes_sql).await?;
    entries.execute(txn, ENTRIES_SQL).await?;
    Ok(kept)
}

const ENTRIES_SQL: &str = "INSERT INTO stock_entry
    (id, option_id, sale_id, cause, quantity, order_id, actor_id, note, at_ms) VALUES {rows}";

fn sold_entries(entries: &mut Rows<9>, ids: &dyn Ids, moved: &MovedOrder, actor: Uuid, now: Millis) {
    for line in &moved.lines {
        let (option, sale) = line.key.columns();
        entries.push([
            ids.next().into(),
            option.into(),
            sale.into(),
            StockCause::Order.as_str().into(),
            (-line.quantity).into(),
            moved.order.0.into(),
            actor.into(),
            "".into(),
            now.0.into(),
        ]);
    }
}

/// Runs `sql` over `rows`; whether it affected every one of them.
async fn all<const COLUMNS: usize>(rows: Rows<COLUMNS>, txn: &Txn, sql: &str) -> Result<bool> {
    let wanted = rows.len() as u64;
    Ok(rows.execute(txn, sql).await? == wanted)
}
