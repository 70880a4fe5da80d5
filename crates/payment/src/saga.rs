//! Paying a held order from a wallet, one step at a time.
//!
//! The attempt is stored before anybody is asked. Then: the order keeps its hold and says the amount; the wallet is
//! debited; the order is told and judges; the money goes to the market's sales account, or back. Every step may be
//! repeated, and is safe when two processes drive the same attempt: a step writes under the state it was read in.
//!
//! **Invariant:** no transaction is open during a call to another service.
//! **Invariant:** an answer that is not known changes nothing; the step is repeated until it is known.

use std::sync::Arc;
use std::time::Duration;

use contract::order::{BeginPayment, EndPayment, OrderClient, OrderState};
use contract::payment::Paid;
use db::idempotency::{self, Claim};
use db::{Db, Txn, fault};
use kit::id::TransferId;
use kit::{Clock, Code, Ctx, Currency, Fault, Ids, Millis, Money, Result};

use crate::entity::attempt::Model;
use crate::ledger::{self, Account, Cause, Transfer};
use crate::state::{Event, IllegalMove, State};
use crate::store::{self, Change};

/// The operation number of `pay` in idempotency records.
pub(crate) const OPERATION_PAY: i64 = 2;
/// How long a step waits for another service.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long an attempt belongs to whoever moved it last. Longer than any step takes.
pub(crate) const LEASE_MS: i64 = 15_000;

/// The steps, and what they need.
#[derive(Clone)]
pub(crate) struct Saga {
    pub db: Db,
    pub order: OrderClient,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub currency: Currency,
}

impl Saga {
    /// Takes the attempt one step on, and returns it as it is then.
    /// An error means that the outcome is not known: the attempt is where it was.
    pub(crate) async fn step(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        match attempt.state {
            State::Started => self.reserve(ctx, attempt).await,
            State::Reserved => self.debit(ctx, attempt).await,
            State::Declined => self.release(ctx, attempt).await,
            State::Captured => self.confirm(ctx, attempt).await,
            State::Done | State::Refused | State::Undone => Ok(attempt),
        }
    }

    async fn reserve(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        let request = BeginPayment { member: attempt.member(), order: attempt.order(), attempt: attempt.attempt_id() };
        match self.order.begin_payment(&ctx.clone().within(STEP_TIMEOUT), request).await {
            Ok(payable) => {
                let payable = payable.amount;
                if payable.currency != self.currency || payable.amount < 0 {
                    return Err(Fault::internal(format!("order {} asks for {payable}", attempt.order_id)));
                }
                let change = Change { amount_minor: Some(payable.amount), ..Change::default() };
                self.advance(attempt, Event::Reserved, change).await
            }
            Err(refusal) if is_definite(&refusal) => {
                self.advance(attempt, Event::TurnedAway, refused_with(&refusal)?).await
            }
            Err(unknown) => Err(unknown),
        }
    }

    async fn debit(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        let wallet = Account::Wallet(attempt.member());
        let (txn, moved) = self.begin_move(&attempt, Event::Debited, Change::default()).await?;
        let Some(moved) = moved else {
            return self.reload(txn, attempt).await;
        };
        match self.post(&txn, ctx, &moved, Cause::Order, wallet, Account::Clearing).await {
            Ok(()) => {
                self.db.commit(txn).await?;
                Ok(moved)
            }
            Err(refusal) if matches!(refusal.code, Code::InsufficientFunds | Code::AmountOutOfRange) => {
                txn.rollback().await.map_err(fault)?;
                let balance = ledger::balance(self.db.read(), wallet, self.currency).await?;
                let money = |minor| Money::new(minor, self.currency);
                let refusal = refusal.fact("balance", money(balance)).fact("amount", money(amount(&attempt)?));
                self.advance(attempt, Event::Short, refused_with(&refusal)?).await
            }
            Err(unknown) => Err(unknown),
        }
    }

    async fn release(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        let request = EndPayment { order: attempt.order(), attempt: attempt.attempt_id(), captured: false };
        match self.order.end_payment(&ctx.clone().within(STEP_TIMEOUT), request).await {
            Ok(_) => self.advance(attempt, Event::Released, Change::default()).await,
            // There is nothing left to let go of.
            Err(refusal) if is_definite(&refusal) => self.advance(attempt, Event::Released, Change::default()).await,
            Err(unknown) => Err(unknown),
        }
    }

    async fn confirm(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        let request = EndPayment { order: attempt.order(), attempt: attempt.attempt_id(), captured: true };
        match self.order.end_payment(&ctx.clone().within(STEP_TIMEOUT), request).await {
            Ok(OrderState::Paid) => self.settle(ctx, attempt).await,
            Ok(OrderState::Expired | OrderState::Cancelled) => {
                self.refund(ctx, attempt, &Fault::new(Code::HoldEnded)).await
            }
            Ok(OrderState::Held) => {
                Err(Fault::internal(format!("order {} is still held though its money moved", attempt.order_id)))
            }
            Err(refusal) if is_definite(&refusal) => self.refund(ctx, attempt, &refusal).await,
            Err(unknown) => Err(unknown),
        }
    }

    /// The order is paid: the money becomes the sale's, and the key gets its answer.
    async fn settle(&self, ctx: &Ctx, attempt: Model) -> Result<Model> {
        let (txn, moved) = self.begin_move(&attempt, Event::Confirmed, Change::default()).await?;
        let Some(moved) = moved else {
            return self.reload(txn, attempt).await;
        };
        self.post(&txn, ctx, &moved, Cause::Sale, Account::Clearing, Account::Sales).await?;
        let answer = outcome(&moved, self.currency)?;
        idempotency::record(&txn, &claim(&moved), &answer, self.clock.now()).await?;
        self.db.commit(txn).await?;
        Ok(moved)
    }

    /// The order cannot be paid any more: the money goes back where it came from.
    async fn refund(&self, ctx: &Ctx, attempt: Model, refusal: &Fault) -> Result<Model> {
        let (txn, moved) = self.begin_move(&attempt, Event::Refunded, refused_with(refusal)?).await?;
        let Some(moved) = moved else {
            return self.reload(txn, attempt).await;
        };
        let wallet = Account::Wallet(attempt.member());
        self.post(&txn, ctx, &moved, Cause::Refund, Account::Clearing, wallet).await?;
        self.db.commit(txn).await?;
        Ok(moved)
    }

    /// A move that no money goes with.
    async fn advance(&self, attempt: Model, event: Event, change: Change) -> Result<Model> {
        let (txn, moved) = self.begin_move(&attempt, event, change).await?;
        let Some(moved) = moved else {
            return self.reload(txn, attempt).await;
        };
        self.db.commit(txn).await?;
        Ok(moved)
    }

    /// Begins a transaction and makes the move in it; `None` when somebody else has moved the attempt.
    async fn begin_move(&self, attempt: &Model, event: Event, change: Change) -> Result<(Txn, Option<Model>)> {
        let to = attempt.state.next(event).map_err(|IllegalMove { from, event }| {
            Fault::internal(format!("attempt {}: {event:?} in state {from:?}", attempt.id))
        })?;
        let moved = moved(attempt, to, change, self.clock.now());
        let txn = self.db.begin().await?;
        let won = store::advance(&txn, attempt.state, &moved).await?;
        Ok((txn, won.then_some(moved)))
    }

    /// Moves the attempt's amount; part of the caller's transaction. Nothing moves for an order that costs nothing.
    async fn post(
        &self,
        txn: &Txn,
        ctx: &Ctx,
        attempt: &Model,
        cause: Cause,
        from: Account,
        to: Account,
    ) -> Result<()> {
        let amount_minor = amount(attempt)?;
        if amount_minor == 0 {
            return Ok(());
        }
        let transfer = Transfer {
            id: TransferId(self.ids.next()),
            cause,
            cause_id: attempt.id,
            order: Some(attempt.order()),
            actor: attempt.member(),
            reason: None,
            request_id: ctx.request_id.clone(),
            at: self.clock.now(),
            currency: self.currency,
            legs: ledger::legs(from, to, amount_minor)?,
        };
        ledger::post(txn, self.ids.as_ref(), transfer).await
    }

    /// The attempt as whoever moved it has left it.
    async fn reload(&self, txn: Txn, attempt: Model) -> Result<Model> {
        let found = store::find(&txn, attempt.attempt_id()).await?;
        txn.rollback().await.map_err(fault)?;
        found.ok_or_else(|| Fault::internal(format!("attempt {} is gone", attempt.id)))
    }
}

/// What an ended attempt comes to for its member. Errors: the refusal, as it was stored.
pub(crate) fn outcome(attempt: &Model, currency: Currency) -> Result<Paid> {
    match (attempt.state, attempt.ended_at_ms) {
        (State::Done, Some(paid_at)) => Ok(Paid {
            order_id: attempt.order(),
            attempt_id: attempt.attempt_id(),
            amount: Money::new(amount(attempt)?, currency),
            paid_at: Millis(paid_at),
        }),
        (State::Refused | State::Undone, _) => {
            let stored = attempt.refusal.as_deref().unwrap_or_default();
            Err(serde_json::from_str(stored).unwrap_or_else(|e| Fault::internal(format!("stored refusal: {e}"))))
        }
        (State::Started | State::Reserved | State::Declined | State::Captured | State::Done, _) => {
            Err(Fault::internal(format!("attempt {} has not ended", attempt.id)))
        }
    }
}

/// The idempotency record that the attempt will leave.
fn claim(attempt: &Model) -> Claim {
    Claim {
        member: attempt.member_id,
        operation: OPERATION_PAY,
        key: attempt.key.clone(),
        fingerprint: attempt.fingerprint,
    }
}

/// The order has decided. Everything else is no answer: it may or may not have happened.
fn is_definite(fault: &Fault) -> bool {
    matches!(fault.code, Code::NotFound | Code::HoldEnded | Code::PaymentRunning | Code::IllegalMove)
}

fn moved(attempt: &Model, to: State, change: Change, now: Millis) -> Model {
    Model {
        state: to,
        amount_minor: change.amount_minor.or(attempt.amount_minor),
        refusal: change.refusal.or_else(|| attempt.refusal.clone()),
        next_try_at_ms: now.plus_ms(LEASE_MS).0,
        ended_at_ms: to.has_ended().then_some(now.0),
        ..attempt.clone()
    }
}

fn amount(attempt: &Model) -> Result<i64> {
    attempt.amount_minor.ok_or_else(|| Fault::internal(format!("attempt {} has no amount", attempt.id)))
}

fn refused_with(refusal: &Fault) -> Result<Change> {
    let refusal = serde_json::to_string(refusal).map_err(Fault::internal)?;
    Ok(Change { refusal: Some(refusal), ..Change::default() })
}
