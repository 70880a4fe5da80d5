//! **Where a purchase is decided.** A pure function: what the database says now, and requests in the order in which
//! they arrived, give an answer for each and the effects to be written. No clock, no I/O, no randomness but the ids.
//!
//! Invariants: a request is decided against everything decided before it in the batch (first come, first served);
//! all lines of an order are taken or none; a refused request has no effect; one key has one effect.

use std::collections::BTreeMap;

use ahash::AHashMap;
use contract::Event;
use contract::event::SoldLine;
use contract::order::{LineBody, OrderState, Placed, PlacedLine};
use kit::id::{AttemptId, MemberId, OrderId, SaleId};
use kit::{Code, Currency, Fault, Ids, Millis, Money, Result};

use super::job::{Claim, Job, Move, MoveJob, PlaceJob};
use super::snapshot::{AllowanceKey, Found, FoundLine, Snapshot, StockKey, StockRow};
use crate::state::{self, Step};

/// The answer to one job.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Placed(Placed),
    /// The key was used before: the first answer again.
    Replayed(Placed),
    /// The order as it is now, and what it costs.
    Moved {
        state: OrderState,
        total: Money,
        replayed: bool,
    },
}

/// What a batch changes; written as few multi-row statements.
#[derive(Default, Debug)]
pub struct Effects {
    pub records: Vec<(Claim, OrderId)>,
    pub stock: BTreeMap<StockKey, StockDelta>,
    /// Units taken from (or, below zero, given back to) members' allowances, with the cap in force.
    pub allowances: BTreeMap<AllowanceKey, Used>,
    pub orders: Vec<NewOrder>,
    /// One entry per order, however many steps it made in the batch.
    pub moves: BTreeMap<OrderId, MovedOrder>,
    /// What happened, and by which job of the batch.
    pub events: Vec<(usize, Event)>,
    /// The job being decided.
    job: usize,
}

impl Effects {
    fn happened(&mut self, event: Event) {
        self.events.push((self.job, event));
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.orders.is_empty() && self.moves.is_empty()
    }
}

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct StockDelta {
    pub available: i64,
    pub held: i64,
    pub sold: i64,
}

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Used {
    pub units: i64,
    pub cap: i64,
}

#[derive(Debug)]
pub struct NewOrder {
    pub placed: Placed,
    pub member: MemberId,
    pub lines: Vec<NewLine>,
}

#[derive(Debug)]
pub struct NewLine {
    pub key: StockKey,
    pub stock: StockRow,
    pub quantity: i64,
    pub allowance_day: Option<i64>,
}

#[derive(Debug)]
pub struct MovedOrder {
    pub order: OrderId,
    pub attempt: Option<AttemptId>,
    /// The hold ended by this step, by whom.
    pub ended: Option<(Step, MemberId)>,
    pub from: OrderState,
    pub to: OrderState,
    pub lines: Vec<FoundLine>,
}

impl MovedOrder {
    fn of(found: &Found, from: OrderState) -> Self {
        let lines = found.lines.clone();
        Self { order: found.order, attempt: found.attempt, ended: None, from, to: found.state(), lines }
    }
}

/// What decides beside the database.
pub struct Rules<'a> {
    pub now: Millis,
    /// The market day of `now`.
    pub day: i64,
    pub hold_ms: i64,
    pub currency: Currency,
    pub ids: &'a dyn Ids,
}

/// Decides `jobs` in their order.
pub fn decide(rules: &Rules<'_>, snapshot: &mut Snapshot, jobs: &[&Job]) -> (Vec<Result<Answer>>, Effects) {
    let mut effects = Effects::default();
    let mut answers = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        effects.job = index;
        answers.push(match job {
            Job::Place(place) => place_order(rules, snapshot, &mut effects, place),
            Job::Move(moved) => move_order(rules, snapshot, &mut effects, moved),
        });
    }
    stock_turned(rules, snapshot, &mut effects);
    (answers, effects)
}

fn place_order(rules: &Rules<'_>, snapshot: &mut Snapshot, effects: &mut Effects, job: &PlaceJob) -> Result<Answer> {
    if let Some(record) = snapshot.records.get(&job.claim.scope()) {
        if record.fingerprint != job.claim.fingerprint {
            return Err(Code::IdempotencyKeyReused.into());
        }
        let found = snapshot.orders.get(&record.order).ok_or_else(|| Fault::internal("a record without its order"))?;
        return Ok(Answer::Replayed(found.receipt(rules.currency)));
    }
    let lines = check_lines(rules, snapshot, &job.lines)?;
    let total = total_of(rules, &lines)?;
    if total != job.total {
        return Err(Fault::new(Code::PriceChanged).fact("total", total));
    }
    let used = check_limits(snapshot, job.member, &lines)?;
    check_stock(snapshot, &lines)?;
    Ok(Answer::Placed(accept(rules, snapshot, effects, job, lines, total, used)))
}

/// Every line is known, on sale, and its sale open.
fn check_lines(rules: &Rules<'_>, snapshot: &Snapshot, lines: &[LineBody]) -> Result<Vec<NewLine>> {
    let mut checked = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let key = StockKey::of(line);
        let at = |code: Code| Fault::new(code).fact("line", index);
        let stock = snapshot.stock.get(&key).filter(|row| row.on_sale).ok_or_else(|| at(Code::NotOnSale))?;
        if let Some(window) = stock.window {
            window.check(rules.now).map_err(|fault| fault.fact("line", index))?;
        }
        let allowance_day = stock.limit.map(|limit| limit.period_start(rules.day));
        checked.push(NewLine { key, stock: stock.clone(), quantity: line.quantity, allowance_day });
    }
    Ok(checked)
}

fn total_of(rules: &Rules<'_>, lines: &[NewLine]) -> Result<Money> {
    lines.iter().try_fold(Money::new(0, rules.currency), |sum, line| {
        sum.plus(Money::new(line.stock.price, rules.currency).times(line.quantity)?)
    })
}

/// No line takes its member over a limit, counting all lines of this order. Gives what the order uses.
fn check_limits(snapshot: &Snapshot, member: MemberId, lines: &[NewLine]) -> Result<BTreeMap<AllowanceKey, Used>> {
    let mut taken = BTreeMap::<AllowanceKey, Used>::new();
    for (index, line) in lines.iter().enumerate() {
        let (Some(limit), Some(day)) = (line.stock.limit, line.allowance_day) else { continue };
        let key = AllowanceKey { scope: line.key.scope(), member, day };
        let before = snapshot.allowances.get(&key).copied().unwrap_or(0);
        let used = taken.entry(key).or_insert(Used { units: 0, cap: limit.quantity });
        used.units += line.quantity;
        if before + used.units > limit.quantity {
            let left = (limit.quantity - before).max(0);
            let fault = Fault::new(Code::OverLimit).fact("line", index).fact("limit", limit.quantity);
            return Err(fault.fact("left", left));
        }
    }
    Ok(taken)
}

/// There are units for every line, counting all lines of this order.
fn check_stock(snapshot: &Snapshot, lines: &[NewLine]) -> Result<()> {
    let mut wanted = AHashMap::<StockKey, i64>::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let units = wanted.entry(line.key).or_insert(0);
        *units += line.quantity;
        let available = snapshot.stock.get(&line.key).map_or(0, |row| row.available);
        if *units > available {
            return Err(Fault::new(Code::SoldOut).fact("line", index).fact("available", available));
        }
    }
    Ok(())
}

fn accept(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    job: &PlaceJob,
    lines: Vec<NewLine>,
    total: Money,
    used: BTreeMap<AllowanceKey, Used>,
) -> Placed {
    let order = OrderId(rules.ids.next());
    for line in &lines {
        move_stock(snapshot, effects, line.key, StockDelta { available: -line.quantity, held: line.quantity, sold: 0 });
    }
    for (key, used) in used {
        use_allowance(snapshot, effects, key, used);
    }
    let placed = Placed {
        order_id: order,
        lines: lines.iter().map(placed_line).collect(),
        total,
        placed_at: rules.now,
        hold_expires_at: rules.now.plus_ms(rules.hold_ms),
    };
    snapshot.note_placed(&job.claim, job.member, &placed, &lines);
    effects.records.push((job.claim.clone(), order));
    effects.happened(Event::OrderPlaced { order, member: job.member, total, at: rules.now });
    effects.orders.push(NewOrder { placed: placed.clone(), member: job.member, lines });
    placed
}

fn placed_line(line: &NewLine) -> PlacedLine {
    PlacedLine {
        option_id: line.key.option,
        sale_id: line.key.sale(),
        quantity: line.quantity,
        unit_price: line.stock.price,
    }
}

fn move_order(rules: &Rules<'_>, snapshot: &mut Snapshot, effects: &mut Effects, job: &MoveJob) -> Result<Answer> {
    let found = snapshot.orders.get(&job.order).cloned().ok_or(Code::NotFound)?;
    match &job.what {
        Move::Cancel { member, claim } => cancel(rules, snapshot, effects, &found, *member, claim),
        Move::Expire => expire(rules, snapshot, effects, &found),
        Move::BeginPayment { member, attempt } => begin_payment(rules, snapshot, effects, &found, *member, *attempt),
        Move::EndPayment { attempt, captured } => match captured {
            true => capture(rules, snapshot, effects, &found, *attempt),
            false => release(rules, snapshot, effects, &found, *attempt),
        },
    }
}

fn cancel(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    found: &Found,
    member: MemberId,
    claim: &Claim,
) -> Result<Answer> {
    if found.member != member {
        return Err(Code::NotFound.into());
    }
    if let Some(record) = snapshot.records.get(&claim.scope()) {
        return match record.fingerprint == claim.fingerprint {
            true => Ok(answer(rules, found, true)),
            false => Err(Code::IdempotencyKeyReused.into()),
        };
    }
    if found.attempt.is_some() && found.state() == OrderState::Held {
        return Err(Code::PaymentRunning.into());
    }
    let ended = end_hold(rules, snapshot, effects, found, Step::Cancel, member)?;
    snapshot.note_record(claim, found.order);
    effects.records.push((claim.clone(), found.order));
    effects.happened(Event::OrderCancelled { order: found.order, member, at: rules.now });
    Ok(answer(rules, &ended, false))
}

/// Expiring what has ended already is no error: the clock may ring twice.
fn expire(rules: &Rules<'_>, snapshot: &mut Snapshot, effects: &mut Effects, found: &Found) -> Result<Answer> {
    let due = found.hold_expires_at <= rules.now && found.attempt.is_none();
    if found.state() != OrderState::Held || !due {
        return Ok(answer(rules, found, true));
    }
    let ended = end_hold(rules, snapshot, effects, found, Step::Expire, found.member)?;
    effects.happened(Event::OrderExpired { order: found.order, member: found.member, at: rules.now });
    Ok(answer(rules, &ended, false))
}

fn begin_payment(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    found: &Found,
    member: MemberId,
    attempt: AttemptId,
) -> Result<Answer> {
    if found.member != member {
        return Err(Code::NotFound.into());
    }
    match (found.state(), found.attempt) {
        (OrderState::Held, Some(running)) if running == attempt => Ok(answer(rules, found, true)),
        (OrderState::Held, Some(_)) => Err(Code::PaymentRunning.into()),
        (OrderState::Held, None) if found.hold_expires_at <= rules.now => Err(Code::HoldEnded.into()),
        (OrderState::Held, None) => {
            let running = Found { attempt: Some(attempt), ..found.clone() };
            keep(snapshot, effects, found, &running, None);
            Ok(answer(rules, &running, false))
        }
        (OrderState::Expired, _) => Err(Code::HoldEnded.into()),
        (state @ (OrderState::Paid | OrderState::Cancelled), _) => {
            Err(Fault::new(Code::IllegalMove).fact("state", state))
        }
    }
}

/// The money has moved. Repeating is no error; an order that cannot be paid any more says so, and the money goes back.
fn capture(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    found: &Found,
    attempt: AttemptId,
) -> Result<Answer> {
    if found.attempt != Some(attempt) {
        return Err(Code::HoldEnded.into());
    }
    match found.state() {
        OrderState::Paid => return Ok(answer(rules, found, true)),
        OrderState::Expired | OrderState::Cancelled => return Err(Code::HoldEnded.into()),
        OrderState::Held => {}
    }
    let paid = end_hold(rules, snapshot, effects, found, Step::Pay, found.member)?;
    let sold = |line: &FoundLine| SoldLine {
        option: line.key.option,
        item: line.item,
        store: line.store,
        sale: line.key.sale(),
        quantity: line.quantity,
        unit_price: line.unit_price,
    };
    effects.happened(Event::OrderPaid {
        order: found.order,
        member: found.member,
        attempt,
        total: Money::new(found.total, rules.currency),
        sold: found.lines.iter().map(sold).collect(),
        at: rules.now,
    });
    Ok(answer(rules, &paid, false))
}

/// The attempt came to nothing: the hold runs on.
fn release(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    found: &Found,
    attempt: AttemptId,
) -> Result<Answer> {
    if found.state() != OrderState::Held || found.attempt != Some(attempt) {
        return Ok(answer(rules, found, true));
    }
    let free = Found { attempt: None, ..found.clone() };
    keep(snapshot, effects, found, &free, None);
    Ok(answer(rules, &free, false))
}

/// Ends the hold of `found` by `step`: its stock and allowances follow.
fn end_hold(
    rules: &Rules<'_>,
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    found: &Found,
    step: Step,
    actor: MemberId,
) -> Result<Found> {
    let to = state::next(found.state(), step)?;
    for line in &found.lines {
        let delta = match step {
            Step::Pay => StockDelta { available: 0, held: -line.quantity, sold: line.quantity },
            Step::Cancel | Step::Expire => StockDelta { available: line.quantity, held: -line.quantity, sold: 0 },
        };
        move_stock(snapshot, effects, line.key, delta);
        if let (Step::Cancel | Step::Expire, Some(day)) = (step, line.allowance_day) {
            let key = AllowanceKey { scope: line.key.scope(), member: found.member, day };
            use_allowance(snapshot, effects, key, Used { units: -line.quantity, cap: 0 });
        }
    }
    let mut ended = found.clone();
    ended.hold_ended = true;
    ended.paid_at = (step == Step::Pay).then_some(rules.now);
    for line in &mut ended.lines {
        line.state = to;
    }
    keep(snapshot, effects, found, &ended, Some((step, actor)));
    Ok(ended)
}

fn keep(
    snapshot: &mut Snapshot,
    effects: &mut Effects,
    before: &Found,
    after: &Found,
    ended: Option<(Step, MemberId)>,
) {
    let from = before.state();
    let moved = effects.moves.entry(after.order).or_insert_with(|| MovedOrder::of(after, from));
    *moved = MovedOrder { ended: moved.ended.or(ended), from: moved.from, ..MovedOrder::of(after, from) };
    snapshot.orders.insert(after.order, after.clone());
}

fn answer(rules: &Rules<'_>, found: &Found, replayed: bool) -> Answer {
    Answer::Moved { state: found.state(), total: Money::new(found.total, rules.currency), replayed }
}

fn move_stock(snapshot: &mut Snapshot, effects: &mut Effects, key: StockKey, delta: StockDelta) {
    if let Some(row) = snapshot.stock.get_mut(&key) {
        row.available += delta.available;
    }
    let sum = effects.stock.entry(key).or_default();
    sum.available += delta.available;
    sum.held += delta.held;
    sum.sold += delta.sold;
}

fn use_allowance(snapshot: &mut Snapshot, effects: &mut Effects, key: AllowanceKey, used: Used) {
    *snapshot.allowances.entry(key).or_insert(0) += used.units;
    let sum = effects.allowances.entry(key).or_default();
    sum.units += used.units;
    sum.cap = sum.cap.max(used.cap);
}

/// Tells the catalogue of options that came onto the shelf or left it in this batch.
fn stock_turned(rules: &Rules<'_>, snapshot: &Snapshot, effects: &mut Effects) {
    let mut turned = Vec::new();
    for (key, delta) in &effects.stock {
        let Some(row) = snapshot.stock.get(key).filter(|_| key.sale().is_none()) else { continue };
        let (before, after) = (row.available - delta.available > 0, row.available > 0);
        if before != after {
            turned.push(Event::StockTurned { option: key.option, item: row.item, in_stock: after, at: rules.now });
        }
    }
    turned.into_iter().for_each(|event| effects.happened(event));
}

/// When a sale is open. Before and after: `sale_not_open` with the times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub sale: SaleId,
    pub opens_at: Millis,
    pub closes_at: Millis,
}

impl Window {
    pub fn check(&self, now: Millis) -> Result<()> {
        match self.opens_at <= now && now < self.closes_at {
            true => Ok(()),
            false => Err(Fault::new(Code::SaleNotOpen)
                .fact("opens_at", self.opens_at)
                .fact("closes_at", self.closes_at)
                .fact("now", now)),
        }
    }
}
