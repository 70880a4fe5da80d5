//! An order service that keeps holds in memory and judges payments by the rules of the contract. It can lose answers
//! (the effect is there, the caller is not told), be unreachable, and be slow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::idempotency::Once;
use contract::order::*;
use kit::id::{AttemptId, MemberId, OptionId, OrderId, SaleId};
use kit::{Code, Ctx, Currency, Fault, Ids as _, Money, Page, Result, SystemIds};
use parking_lot::Mutex;

#[derive(Clone)]
pub(super) struct Hold {
    pub member: MemberId,
    pub amount_minor: i64,
    pub state: OrderState,
    pub running: Option<AttemptId>,
    /// The attempt that paid it.
    pub paid_by: Option<AttemptId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Good,
    /// The next so many answers are lost after their effect.
    LosesAnswers(u32),
    Unreachable,
    Slow(Duration),
}

pub(super) struct Judge {
    holds: Mutex<HashMap<OrderId, Hold>>,
    line: Mutex<Line>,
    /// Ends every hold between capture and judgement.
    pub ends_holds: Mutex<bool>,
}

impl Judge {
    pub(super) fn new() -> Arc<Self> {
        let line = Mutex::new(Line::Good);
        Arc::new(Self { holds: Mutex::default(), line, ends_holds: Mutex::new(false) })
    }

    pub(super) fn hold(&self, member: MemberId, amount_minor: i64) -> OrderId {
        let order = OrderId(SystemIds.next());
        let hold = Hold { member, amount_minor, state: OrderState::Held, running: None, paid_by: None };
        self.holds.lock().insert(order, hold);
        order
    }

    pub(super) fn find(&self, order: OrderId) -> Hold {
        self.holds.lock()[&order].clone()
    }

    pub(super) fn set_line(&self, line: Line) {
        *self.line.lock() = line;
    }

    /// `Ok(true)` when the answer is to be lost.
    async fn arrive(&self) -> Result<bool> {
        let line = *self.line.lock();
        match line {
            Line::Good | Line::LosesAnswers(0) => Ok(false),
            Line::LosesAnswers(n) => {
                self.set_line(Line::LosesAnswers(n - 1));
                Ok(true)
            }
            Line::Unreachable => Err(Fault::new(Code::Unavailable)),
            Line::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(false)
            }
        }
    }

    fn begin(&self, request: BeginPayment) -> Result<Payable> {
        let mut holds = self.holds.lock();
        let hold = holds.get_mut(&request.order).filter(|hold| hold.member == request.member);
        let hold = hold.ok_or_else(|| Fault::new(Code::NotFound))?;
        match hold.state {
            OrderState::Held => {}
            OrderState::Paid => return Err(Fault::new(Code::IllegalMove)),
            OrderState::Expired | OrderState::Cancelled => return Err(Fault::new(Code::HoldEnded)),
        }
        if hold.running.is_some_and(|attempt| attempt != request.attempt) {
            return Err(Fault::new(Code::PaymentRunning));
        }
        hold.running = Some(request.attempt);
        Ok(Payable { order: request.order, amount: Money::new(hold.amount_minor, Currency::KRW) })
    }

    fn end(&self, request: EndPayment) -> Result<OrderState> {
        let mut holds = self.holds.lock();
        let hold = holds.get_mut(&request.order).ok_or_else(|| Fault::new(Code::NotFound))?;
        if *self.ends_holds.lock() && hold.state == OrderState::Held {
            hold.state = OrderState::Expired;
        }
        if !request.captured {
            if hold.running == Some(request.attempt) {
                hold.running = None;
            }
            return Ok(hold.state);
        }
        match hold.state {
            OrderState::Held if hold.running == Some(request.attempt) => {
                (hold.state, hold.running, hold.paid_by) = (OrderState::Paid, None, Some(request.attempt));
                Ok(OrderState::Paid)
            }
            OrderState::Paid if hold.paid_by == Some(request.attempt) => Ok(OrderState::Paid),
            OrderState::Held | OrderState::Paid | OrderState::Expired | OrderState::Cancelled => {
                Err(Fault::new(Code::HoldEnded))
            }
        }
    }
}

fn lost<T>(reply: Result<T>, is_lost: bool) -> Result<T> {
    match is_lost {
        true => Err(Fault::new(Code::Unavailable).context("the answer was lost")),
        false => reply,
    }
}

fn not_here<T>() -> Result<T> {
    Err(Fault::internal("payment does not ask this"))
}

#[async_trait]
impl Order for Judge {
    async fn begin_payment(&self, _: &Ctx, request: BeginPayment) -> Result<Payable> {
        let is_lost = self.arrive().await?;
        lost(self.begin(request), is_lost)
    }

    async fn end_payment(&self, _: &Ctx, request: EndPayment) -> Result<OrderState> {
        let is_lost = self.arrive().await?;
        lost(self.end(request), is_lost)
    }

    async fn place(&self, _: &Ctx, _: Place) -> Result<Once<Placed>> {
        not_here()
    }
    async fn cancel(&self, _: &Ctx, _: Cancel) -> Result<Once<OrderView>> {
        not_here()
    }
    async fn order(&self, _: &Ctx, _: OwnOrder) -> Result<OrderView> {
        not_here()
    }
    async fn list_orders(&self, _: &Ctx, _: ListOrders) -> Result<Page<OrderView>> {
        not_here()
    }
    async fn list_store_lines(&self, _: &Ctx, _: ListStoreLines) -> Result<Page<StoreLine>> {
        not_here()
    }
    async fn availability(&self, _: &Ctx, _: Vec<OptionId>) -> Result<Vec<Availability>> {
        not_here()
    }
    async fn stock(&self, _: &Ctx, _: OwnOption) -> Result<Stock> {
        not_here()
    }
    async fn list_stock_entries(&self, _: &Ctx, _: ListStockEntries) -> Result<Page<StockEntry>> {
        not_here()
    }
    async fn change_stock(&self, _: &Ctx, _: ChangeStock) -> Result<Once<Stock>> {
        not_here()
    }
    async fn create_sale(&self, _: &Ctx, _: CreateSale) -> Result<Once<Sale>> {
        not_here()
    }
    async fn sale(&self, _: &Ctx, _: SaleId) -> Result<Sale> {
        not_here()
    }
    async fn list_sales(&self, _: &Ctx, _: ListSales) -> Result<Page<Sale>> {
        not_here()
    }
}
