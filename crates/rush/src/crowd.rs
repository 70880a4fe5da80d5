//! The crowd: everybody presses the button once and insists on an answer; who gets a unit pays for it or walks away;
//! who was refused, or was too late to pay, comes back when a hold has ended.
//!
//! A request whose answer is lost is sent again with the same key until there is an answer. Everything runs in one
//! task, so that the crowd costs the machine as little as possible.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use contract::order::{Placed, Sale, Stock};
use futures_util::future::{join, join_all};
use http::{HeaderValue, StatusCode};
use indicatif::ProgressBar;
use kit::Code;
use kit::id::{OptionId, OrderId, SaleId};
use tokio::sync::Notify;

use crate::record::{Buyer, Outcome, Payment, Press, Purpose, Record, Verdict};
use crate::stage::{Desk, is_busy, order_body, sale_path, stock_path};
use crate::wire::{Answer, Ask, Connection, Lost, Target};

/// What is sold, and to whom.
pub struct Event {
    pub target: Target,
    pub buyers: Vec<Buyer>,
    pub option: OptionId,
    pub sale: SaleId,
    /// Until the drop opens, when it was announced.
    pub opens_in: Duration,
    pub seller: HeaderValue,
    pub units: u32,
    pub limit: u32,
    pub connections: u32,
    /// Presses per second; none means all at once.
    pub rate: Option<u32>,
    pub hold: Duration,
    /// Without any change for this long beyond the hold, waiting for units to come back is given up.
    pub stall: Duration,
    /// Makes keys unique.
    pub run: String,
}

/// A buyer insists this long on an answer.
const INSIST: Duration = Duration::from_secs(90);
/// Pause before asking again after a lost answer.
const LOST_PAUSE: Duration = Duration::from_millis(20);
/// Pause before asking again when the market is busy and does not say how long.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Nobody waits longer than this before asking again, whatever the market says.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the returning of units is looked for.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// How often somebody comes back.
const COMES_BACK_MAX: u32 = 20;
/// One cashier per so many connections: payments go beside the rush, on connections of their own.
const PRESSES_PER_CASHIER: u32 = 4;

/// The crowd at work.
pub struct Crowd<'a> {
    event: &'a Event,
    begun: Instant,
    record: RefCell<Record>,
    to_pay: RefCell<VecDeque<(usize, OrderId)>>,
    to_pay_more: Notify,
    pressing: Cell<usize>,
    held: Cell<u32>,
    keys: Cell<u64>,
    /// Somebody insisted in vain: the market is gone, and nobody insists any more.
    hopeless: Cell<bool>,
}

/// One press to be made.
#[derive(Clone, Copy)]
struct Plan {
    buyer: usize,
    purpose: Purpose,
    quantity: i64,
    intended: Duration,
}

impl<'a> Crowd<'a> {
    pub fn new(event: &'a Event) -> Self {
        Self {
            event,
            begun: Instant::now(),
            record: RefCell::default(),
            to_pay: RefCell::default(),
            to_pay_more: Notify::new(),
            pressing: Cell::new(0),
            held: Cell::new(0),
            keys: Cell::new(0),
            hopeless: Cell::new(false),
        }
    }

    /// Units given so far.
    pub fn held(&self) -> u32 {
        self.held.get()
    }

    pub fn note_kill(&self) {
        self.record.borrow_mut().kills += 1;
    }

    pub fn note_failure(&self, text: String) {
        self.record.borrow_mut().failures.push(text);
    }

    /// The evidence.
    pub fn into_record(self) -> Record {
        self.record.into_inner()
    }

    /// Some who cannot wait press before the opening.
    pub async fn press_early(&self, count: usize) {
        let now = self.begun.elapsed();
        let plans = (0..count.min(self.event.buyers.len())).map(|buyer| Plan {
            buyer,
            purpose: Purpose::Early,
            quantity: 1,
            intended: now,
        });
        self.rush_with(plans.collect(), &ProgressBar::hidden()).await;
    }

    /// Everybody presses once.
    pub async fn rush(&self, bar: &ProgressBar) {
        let begin = self.begun.elapsed();
        let intended = |n: usize| match self.event.rate {
            Some(rate) => begin + Duration::from_secs_f64(n as f64 / f64::from(rate)),
            None => begin,
        };
        let plan = |buyer| Plan { buyer, purpose: Purpose::Rush, quantity: 1, intended: intended(buyer) };
        self.rush_with((0..self.event.buyers.len()).map(plan).collect(), bar).await;
        let mut record = self.record.borrow_mut();
        let last = record.rushed().map(|press| press.answered).max().unwrap_or(begin);
        record.rush = last.saturating_sub(begin);
    }

    /// Who was refused comes back when units are offered again, until nothing is held and nothing can be had.
    pub async fn come_back(&self, bar: &ProgressBar) -> Result<()> {
        let mut desk = Desk::new(&self.event.target);
        let mut seen = (0, 0, 0);
        let mut changed_at = Instant::now();
        loop {
            let sale: Sale = desk.get(&sale_path(self.event.sale), &self.event.seller).await?;
            let stock: Stock = desk.get(&stock_path(self.event.option), &self.event.seller).await?;
            let offered = sale.lines.iter().map(|line| line.available).sum::<i64>();
            bar.set_position(u64::try_from(stock.sold).unwrap_or(0));
            let waiting = self.waiting();
            if stock.held == 0 && (offered == 0 || waiting.is_empty()) {
                return Ok(());
            }
            let now = (stock.held, stock.sold, offered);
            if now != seen {
                (seen, changed_at) = (now, Instant::now());
            }
            if changed_at.elapsed() > self.event.hold + self.event.stall {
                self.note_failure(format!("{} units stayed held long after their hold had ended", stock.held));
                return Ok(());
            }
            match offered {
                1.. if !waiting.is_empty() => self.press_again(&waiting, offered).await,
                _ => tokio::time::sleep(WATCH_EVERY).await,
            }
        }
    }

    /// More people than there are units try again, longest waiting first.
    async fn press_again(&self, waiting: &[usize], offered: i64) {
        let count = usize::try_from(offered.saturating_mul(2)).unwrap_or(usize::MAX).saturating_add(8);
        let now = self.begun.elapsed();
        let plan = |buyer: &usize| Plan { buyer: *buyer, purpose: Purpose::Again, quantity: 1, intended: now };
        self.rush_with(waiting.iter().take(count).map(plan).collect(), &ProgressBar::hidden()).await;
    }

    /// Buyers whose last word was "sold out" or "too late to pay", longest waiting first. Nobody comes back forever.
    fn waiting(&self) -> Vec<usize> {
        let record = self.record.borrow();
        let late = record.payments.iter().filter(|payment| payment.outcome == Outcome::TooLate);
        let late: HashMap<OrderId, Duration> = late.map(|payment| (payment.order, payment.answered)).collect();
        let mut last = vec![(0, None); self.event.buyers.len()];
        for press in record.presses.iter().filter(|press| matches!(press.purpose, Purpose::Rush | Purpose::Again)) {
            let since = match &press.verdict {
                Verdict::SoldOut => Some(press.answered),
                Verdict::Held(placed) => late.get(&placed.order_id).copied(),
                Verdict::Refused(_) | Verdict::Unanswered => None,
            };
            last[press.buyer] = (last[press.buyer].0 + 1, since);
        }
        let patient = last.into_iter().enumerate().filter(|(_, (presses, _))| *presses <= COMES_BACK_MAX);
        let mut waiting: Vec<(Duration, usize)> =
            patient.filter_map(|(buyer, (_, since))| since.map(|since| (since, buyer))).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, buyer)| buyer).collect()
    }

    /// Makes all these presses, and the payments that follow from them.
    async fn rush_with(&self, plans: Vec<Plan>, bar: &ProgressBar) {
        let connections = plans.len().min(self.event.connections as usize);
        let plans = RefCell::new(plans.into_iter());
        self.pressing.set(connections);
        let pressers = join_all((0..connections).map(|_| self.presser(&plans, bar)));
        let cashiers = join_all((0..connections.div_ceil(PRESSES_PER_CASHIER as usize)).map(|_| self.cashier()));
        join(pressers, cashiers).await;
    }

    async fn presser(&self, plans: &RefCell<std::vec::IntoIter<Plan>>, bar: &ProgressBar) {
        let mut connection = Connection::new(&self.event.target);
        // Not being able to connect yet is the same as losing the first answer.
        let _ = connection.open().await;
        let next = || plans.borrow_mut().next();
        while let Some(plan) = next() {
            tokio::time::sleep_until((self.begun + plan.intended).into()).await;
            let got = self.press(&mut connection, plan).await;
            bar.inc(1);
            if got.is_some() && plan.purpose == Purpose::Rush {
                let quantity = i64::from(self.event.limit);
                let intended = self.begun.elapsed();
                self.press(&mut connection, Plan { purpose: Purpose::Greed, quantity, intended, ..plan }).await;
            }
            let pays = plan.purpose == Purpose::Again || !self.event.buyers[plan.buyer].walker;
            if let Some(order) = got.filter(|_| pays) {
                self.to_pay.borrow_mut().push_back((plan.buyer, order));
                self.to_pay_more.notify_one();
            }
        }
        self.pressing.set(self.pressing.get() - 1);
        if self.pressing.get() == 0 {
            self.to_pay_more.notify_waiters();
        }
    }

    /// Presses once and insists on an answer; the order, when there is one.
    async fn press(&self, connection: &mut Connection<'_>, plan: Plan) -> Option<OrderId> {
        self.keys.set(self.keys.get() + 1);
        let key = format!("rush-{}-{}", self.event.run, self.keys.get());
        let body = order_body(self.event.option, Some(self.event.sale), plan.quantity);
        let sent = self.begun.elapsed();
        let verdict = match self.order_ask(plan.buyer, &key, body.clone()) {
            Ok(ask) => verdict(self.insist(connection, &ask).await),
            Err(e) => Verdict::Refused(e.to_string()),
        };
        let order = match &verdict {
            Verdict::Held(placed) => Some(placed.order_id),
            Verdict::SoldOut | Verdict::Refused(_) | Verdict::Unanswered => None,
        };
        if order.is_some() {
            self.held.set(self.held.get() + 1);
        }
        let answered = self.begun.elapsed();
        let press = Press {
            buyer: plan.buyer,
            purpose: plan.purpose,
            key,
            body,
            intended: plan.intended,
            sent,
            answered,
            verdict,
        };
        self.record.borrow_mut().presses.push(press);
        order
    }

    fn order_ask(&self, buyer: usize, key: &str, body: Bytes) -> Result<Ask> {
        Ask::post("/v1/orders", body)?.token(&self.event.buyers[buyer].token).key(key)
    }

    /// Pays what is to be paid until nobody presses any more.
    async fn cashier(&self) {
        let mut connection = Connection::new(&self.event.target);
        let next = || self.to_pay.borrow_mut().pop_front();
        loop {
            let more = self.to_pay_more.notified();
            match next() {
                Some((buyer, order)) => self.pay(&mut connection, buyer, order).await,
                None if self.pressing.get() == 0 => return,
                None => more.await,
            }
        }
    }

    async fn pay(&self, connection: &mut Connection<'_>, buyer: usize, order: OrderId) {
        let path = format!("/v1/orders/{order}/payment");
        let ask = Ask::post(&path, r#"{"method":"wallet"}"#).map(|ask| ask.token(&self.event.buyers[buyer].token));
        let outcome = match ask.and_then(|ask| ask.key(&format!("pay-{order}"))) {
            Ok(ask) => outcome(self.insist(connection, &ask).await),
            Err(e) => Outcome::Refused(e.to_string()),
        };
        let payment = Payment { order, answered: self.begun.elapsed(), outcome };
        self.record.borrow_mut().payments.push(payment);
    }

    /// Sends the same request until it is answered.
    async fn insist(&self, connection: &mut Connection<'_>, ask: &Ask) -> Option<Answer> {
        let begun = Instant::now();
        loop {
            match self.judge(connection.send(ask).await) {
                Ok(answer) => return Some(answer),
                Err(_) if self.hopeless.get() => return None,
                Err(_) if begun.elapsed() > INSIST => self.hopeless.set(true),
                Err(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    /// An answer that settles the request; otherwise how long to wait before asking again.
    fn judge(&self, answer: Result<Answer, Lost>) -> Result<Answer, Duration> {
        let trouble = &mut self.record.borrow_mut().trouble;
        match answer {
            Ok(answer) if must_wait(&answer) => {
                trouble.busy += 1;
                Err(answer.retry_after.unwrap_or(BUSY_PAUSE).min(WAIT_MAX))
            }
            Ok(answer) if answer.status.is_server_error() => {
                trouble.errors += 1;
                Err(BUSY_PAUSE)
            }
            Ok(answer) => Ok(answer),
            Err(Lost) => {
                trouble.lost += 1;
                Err(LOST_PAUSE)
            }
        }
    }
}

/// The market asks for patience: it is busy, or the first request with this key still runs.
fn must_wait(answer: &Answer) -> bool {
    is_busy(answer.status)
        || (answer.status == StatusCode::CONFLICT && answer.code() == Code::IdempotencyInProgress.as_str())
}

fn verdict(answer: Option<Answer>) -> Verdict {
    let Some(answer) = answer else { return Verdict::Unanswered };
    match (answer.status, answer.success::<Placed>()) {
        (StatusCode::CREATED, Ok(placed)) => Verdict::Held(Box::new(placed)),
        _ => match answer.code() {
            code if code == Code::SoldOut.as_str() => Verdict::SoldOut,
            code => Verdict::Refused(code),
        },
    }
}

fn outcome(answer: Option<Answer>) -> Outcome {
    let Some(answer) = answer else { return Outcome::Unanswered };
    match (answer.status.is_success(), answer.code()) {
        (true, _) => Outcome::Paid,
        (false, code) if code == Code::HoldEnded.as_str() => Outcome::TooLate,
        (false, code) => Outcome::Refused(code),
    }
}
