//! What the database says about everything a batch touches, read in few statements inside its transaction.
//!
//! Where several processes write, rows are locked as they are read, always in the same order (orders, stock,
//! allowances, each by key), so that two committers cannot wait for one another.

use std::collections::BTreeSet;

use ahash::{AHashMap, AHashSet};
use contract::IdempotencyKey;
use contract::order::{LineBody, OrderState, Placed, PlacedLine};
use db::sea_orm::QueryResult;
use db::{Rows, Txn, fault};
use kit::id::{AttemptId, ItemId, MemberId, OptionId, OrderId, SaleId, StoreId};
use kit::{Currency, Millis, Money, Result};
use uuid::Uuid;

use super::decide::{NewLine, Window};
use super::job::{Claim, Job, Operation, Scope};
use crate::state;

/// Units of an option on the shelf (nil sale) or set aside for a sale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StockKey {
    pub option: OptionId,
    sale: Uuid,
}

impl StockKey {
    pub fn new(option: OptionId, sale: Option<SaleId>) -> Self {
        Self { option, sale: sale.map_or(Uuid::nil(), |sale| sale.0) }
    }

    pub fn of(line: &LineBody) -> Self {
        Self::new(line.option_id, line.sale_id)
    }

    pub fn sale(&self) -> Option<SaleId> {
        (!self.sale.is_nil()).then_some(SaleId(self.sale))
    }

    /// What a purchase limit counts by: the whole sale, or the option on the shelf.
    pub fn scope(&self) -> Uuid {
        if self.sale.is_nil() { self.option.0 } else { self.sale }
    }

    /// The two columns of the key.
    pub fn columns(&self) -> (Uuid, Uuid) {
        (self.option.0, self.sale)
    }

    pub fn from_columns(option: Uuid, sale: Uuid) -> Self {
        Self { option: OptionId(option), sale }
    }
}

/// The most units a member may buy, counted over a period.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit {
    pub quantity: i64,
    /// Market days; none counts forever.
    pub days: Option<i64>,
}

impl Limit {
    /// The market day on which the period around `day` began.
    pub fn period_start(&self, day: i64) -> i64 {
        self.days.map_or(0, |days| day - day.rem_euclid(days.max(1)))
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct StockRow {
    pub offer: Uuid,
    pub item: ItemId,
    pub store: StoreId,
    pub price: i64,
    pub on_sale: bool,
    pub available: i64,
    pub limit: Option<Limit>,
    pub window: Option<Window>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AllowanceKey {
    pub scope: Uuid,
    pub member: MemberId,
    pub day: i64,
}

/// The record of a key.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub fingerprint: i64,
    pub order: OrderId,
}

/// An order as it stands.
#[derive(Clone, Debug)]
pub struct Found {
    pub order: OrderId,
    pub member: MemberId,
    pub total: i64,
    pub placed_at: Millis,
    pub hold_expires_at: Millis,
    pub attempt: Option<AttemptId>,
    pub hold_ended: bool,
    pub paid_at: Option<Millis>,
    pub lines: Vec<FoundLine>,
}

#[derive(Clone, Debug)]
pub struct FoundLine {
    pub line_no: i64,
    pub key: StockKey,
    pub item: ItemId,
    pub store: StoreId,
    pub quantity: i64,
    pub unit_price: i64,
    pub state: OrderState,
    pub allowance_day: Option<i64>,
}

impl Found {
    pub fn state(&self) -> OrderState {
        state::of_order(self.lines.iter().map(|line| line.state))
    }

    /// The receipt as it was first given.
    pub fn receipt(&self, currency: Currency) -> Placed {
        let line = |line: &FoundLine| PlacedLine {
            option_id: line.key.option,
            sale_id: line.key.sale(),
            quantity: line.quantity,
            unit_price: line.unit_price,
        };
        Placed {
            order_id: self.order,
            lines: self.lines.iter().map(line).collect(),
            total: Money::new(self.total, currency),
            placed_at: self.placed_at,
            hold_expires_at: self.hold_expires_at,
        }
    }
}

/// Everything a batch touches.
#[derive(Default, Debug)]
pub struct Snapshot {
    pub records: AHashMap<Scope, Record>,
    pub orders: AHashMap<OrderId, Found>,
    pub stock: AHashMap<StockKey, StockRow>,
    pub allowances: AHashMap<AllowanceKey, i64>,
}

impl Snapshot {
    /// Reads it. `day` is the market day by which allowances are counted.
    pub async fn read(txn: &Txn, jobs: &[&Job], day: i64) -> Result<Self> {
        let records = read_records(txn, jobs).await?;
        let orders = read_orders(txn, jobs, &records).await?;
        let stock = read_stock(txn, jobs, &orders).await?;
        let allowances = read_allowances(txn, jobs, &stock, day).await?;
        Ok(Self { records, orders, stock, allowances })
    }

    /// A later request of the batch with the same key gets this one's answer.
    pub fn note_placed(&mut self, claim: &Claim, member: MemberId, placed: &Placed, lines: &[NewLine]) {
        let line = |(index, line): (usize, &NewLine)| FoundLine {
            line_no: line_no(index),
            key: line.key,
            item: line.stock.item,
            store: line.stock.store,
            quantity: line.quantity,
            unit_price: line.stock.price,
            state: OrderState::Held,
            allowance_day: line.allowance_day,
        };
        let found = Found {
            order: placed.order_id,
            member,
            total: placed.total.amount,
            placed_at: placed.placed_at,
            hold_expires_at: placed.hold_expires_at,
            attempt: None,
            hold_ended: false,
            paid_at: None,
            lines: lines.iter().enumerate().map(line).collect(),
        };
        self.orders.insert(placed.order_id, found);
        self.note_record(claim, placed.order_id);
    }

    pub fn note_record(&mut self, claim: &Claim, order: OrderId) {
        self.records.insert(claim.scope(), Record { fingerprint: claim.fingerprint, order });
    }
}

/// Lines are numbered from 1.
pub fn line_no(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX - 1) + 1
}

async fn read_records(txn: &Txn, jobs: &[&Job]) -> Result<AHashMap<Scope, Record>> {
    let sql = "WITH wanted (member_id, operation, key) AS (VALUES {rows})
        SELECT i.member_id, i.operation, i.key, i.fingerprint, i.subject_id FROM wanted w JOIN idempotency i
        ON i.member_id = w.member_id AND i.operation = w.operation AND i.key = w.key";
    let mut rows = Rows::<3>::new();
    let claims: Vec<&Claim> = jobs.iter().filter_map(|job| job.claim()).collect();
    for claim in &claims {
        rows.push([claim.member.0.into(), (claim.operation as i64).into(), claim.key.as_str().into()]);
    }
    let mut records = AHashMap::new();
    for row in rows.query(txn, sql).await? {
        let key: String = row.try_get_by_index(2).map_err(fault)?;
        let number: i64 = row.try_get_by_index(1).map_err(fault)?;
        let operation = if number == Operation::Place as i64 { Operation::Place } else { Operation::Cancel };
        let member = MemberId(row.try_get_by_index(0).map_err(fault)?);
        let scope = Scope { member, operation, key: IdempotencyKey::parse(&key)? };
        let fingerprint = row.try_get_by_index(3).map_err(fault)?;
        records.insert(scope, Record { fingerprint, order: OrderId(row.try_get_by_index(4).map_err(fault)?) });
    }
    Ok(records)
}

/// The orders that are moved, and those whose first answer is asked for again.
async fn read_orders(txn: &Txn, jobs: &[&Job], records: &AHashMap<Scope, Record>) -> Result<AHashMap<OrderId, Found>> {
    let moved = jobs.iter().filter_map(|job| match job {
        Job::Move(moved) => Some(moved.order),
        Job::Place(_) => None,
    });
    let wanted: BTreeSet<OrderId> = moved.chain(records.values().map(|record| record.order)).collect();
    let mut ids = Rows::<1>::new();
    let mut again = Rows::<1>::new();
    for order in wanted {
        ids.push([order.0.into()]);
        again.push([order.0.into()]);
    }
    let sql = "WITH wanted (id) AS (VALUES {rows})
        SELECT o.id, o.member_id, o.total_minor, o.placed_at_ms, o.hold_expires_at_ms, o.attempt_id,
               o.hold_ended_at_ms, o.paid_at_ms
        FROM wanted w JOIN orders o ON o.id = w.id ORDER BY o.id {lock o}";
    let mut orders = AHashMap::new();
    for row in ids.query(txn, sql).await? {
        let found = read_order(&row).map_err(fault)?;
        orders.insert(found.order, found);
    }
    let sql = "WITH wanted (id) AS (VALUES {rows})
        SELECT l.order_id, l.line_no, l.option_id, l.sale_id, l.store_id, l.quantity, l.unit_price_minor, l.state,
               l.allowance_day, f.item_id
        FROM wanted w JOIN line l ON l.order_id = w.id JOIN offer f ON f.id = l.offer_id
        ORDER BY l.order_id, l.line_no";
    for row in again.query(txn, sql).await? {
        let order = OrderId(row.try_get_by_index(0).map_err(fault)?);
        let line = read_line(&row)?;
        if let Some(found) = orders.get_mut(&order) {
            found.lines.push(line);
        }
    }
    Ok(orders)
}

fn read_order(row: &QueryResult) -> std::result::Result<Found, db::sea_orm::DbErr> {
    Ok(Found {
        order: OrderId(row.try_get_by_index(0)?),
        member: MemberId(row.try_get_by_index(1)?),
        total: row.try_get_by_index(2)?,
        placed_at: Millis(row.try_get_by_index(3)?),
        hold_expires_at: Millis(row.try_get_by_index(4)?),
        attempt: row.try_get_by_index::<Option<Uuid>>(5)?.map(AttemptId),
        hold_ended: row.try_get_by_index::<Option<i64>>(6)?.is_some(),
        paid_at: row.try_get_by_index::<Option<i64>>(7)?.map(Millis),
        lines: Vec::new(),
    })
}

fn read_line(row: &QueryResult) -> Result<FoundLine> {
    let state: String = row.try_get_by_index(7).map_err(fault)?;
    let state = state::parse(&state)?;
    let columns = || {
        Ok(FoundLine {
            line_no: row.try_get_by_index(1)?,
            key: StockKey::from_columns(row.try_get_by_index(2)?, row.try_get_by_index(3)?),
            store: StoreId(row.try_get_by_index(4)?),
            quantity: row.try_get_by_index(5)?,
            unit_price: row.try_get_by_index(6)?,
            state,
            allowance_day: row.try_get_by_index(8)?,
            item: ItemId(row.try_get_by_index(9)?),
        })
    };
    columns().map_err(fault)
}

async fn read_stock(
    txn: &Txn,
    jobs: &[&Job],
    orders: &AHashMap<OrderId, Found>,
) -> Result<AHashMap<StockKey, StockRow>> {
    let mut wanted = BTreeSet::new();
    for job in jobs {
        match job {
            Job::Place(place) => wanted.extend(place.lines.iter().map(StockKey::of)),
            Job::Move(moved) => {
                wanted.extend(orders.get(&moved.order).into_iter().flat_map(|found| &found.lines).map(|line| line.key));
            }
        }
    }
    let mut rows = Rows::<2>::new();
    for key in wanted {
        let (option, sale) = key.columns();
        rows.push([option.into(), sale.into()]);
    }
    let sql = "WITH wanted (option_id, sale_id) AS (VALUES {rows})
        SELECT s.option_id, s.sale_id, s.offer_id, s.item_id, s.store_id, s.price_minor, s.on_sale, s.available,
               s.limit_quantity, s.limit_days, d.opens_at_ms, d.closes_at_ms, d.limit_per_member
        FROM wanted w JOIN stock s ON s.option_id = w.option_id AND s.sale_id = w.sale_id
        LEFT JOIN sale d ON d.id = s.sale_id ORDER BY s.option_id, s.sale_id {lock s}";
    let mut stock = AHashMap::new();
    for row in rows.query(txn, sql).await? {
        let (key, row) = read_stock_row(&row).map_err(fault)?;
        stock.insert(key, row);
    }
    Ok(stock)
}

fn read_stock_row(row: &QueryResult) -> std::result::Result<(StockKey, StockRow), db::sea_orm::DbErr> {
    let key = StockKey::from_columns(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    let opens: Option<i64> = row.try_get_by_index(10)?;
    let closes: Option<i64> = row.try_get_by_index(11)?;
    let window = match (key.sale(), opens, closes) {
        (Some(sale), Some(opens), Some(closes)) => {
            Some(Window { sale, opens_at: Millis(opens), closes_at: Millis(closes) })
        }
        _ => None,
    };
    // A sale counts by its own limit, the shelf by the option's.
    let limit = match window {
        Some(_) => row.try_get_by_index::<Option<i64>>(12)?.map(|quantity| Limit { quantity, days: None }),
        None => {
            let days = row.try_get_by_index::<Option<i64>>(9)?;
            row.try_get_by_index::<Option<i64>>(8)?.map(|quantity| Limit { quantity, days })
        }
    };
    let stock = StockRow {
        offer: row.try_get_by_index(2)?,
        item: ItemId(row.try_get_by_index(3)?),
        store: StoreId(row.try_get_by_index(4)?),
        price: row.try_get_by_index(5)?,
        on_sale: row.try_get_by_index(6)?,
        available: row.try_get_by_index(7)?,
        limit,
        window,
    };
    Ok((key, stock))
}

async fn read_allowances(
    txn: &Txn,
    jobs: &[&Job],
    stock: &AHashMap<StockKey, StockRow>,
    day: i64,
) -> Result<AHashMap<AllowanceKey, i64>> {
    let mut wanted = AHashSet::new();
    for job in jobs {
        let Job::Place(place) = job else { continue };
        for line in &place.lines {
            let key = StockKey::of(line);
            if let Some(limit) = stock.get(&key).and_then(|row| row.limit) {
                let day = limit.period_start(day);
                wanted.insert(AllowanceKey { scope: key.scope(), member: place.member, day });
            }
        }
    }
    let mut sorted: Vec<AllowanceKey> = wanted.into_iter().collect();
    sorted.sort_unstable();
    let mut rows = Rows::<3>::new();
    for key in sorted {
        rows.push([key.scope.into(), key.member.0.into(), key.day.into()]);
    }
    let sql = "WITH wanted (scope_id, member_id, day) AS (VALUES {rows})
        SELECT a.scope_id, a.member_id, a.day, a.used FROM wanted w JOIN allowance a
        ON a.scope_id = w.scope_id AND a.member_id = w.member_id AND a.day = w.day
        ORDER BY a.scope_id, a.member_id, a.day {lock a}";
    let mut allowances = AHashMap::new();
    for row in rows.query(txn, sql).await? {
        let scope = row.try_get_by_index(0).map_err(fault)?;
        let member = MemberId(row.try_get_by_index(1).map_err(fault)?);
        let key = AllowanceKey { scope, member, day: row.try_get_by_index(2).map_err(fault)? };
        allowances.insert(key, row.try_get_by_index(3).map_err(fault)?);
    }
    Ok(allowances)
}
