//! The payment service: wallets, credits, and the door to paying.

use std::sync::Arc;

use async_trait::async_trait;
use contract::idempotency::Once;
use contract::order::OrderClient;
use contract::payment::{CreditWallet, ListWalletEntries, Paid, Pay, Payment, Wallet, WalletEntry};
use db::Db;
use db::idempotency::{self, Claim, fingerprint};
use kit::id::{MemberId, TransferId};
use kit::page::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use kit::{Clock, Code, Ctx, Currency, Fault, Ids, Money, Page, Result};

use crate::ledger::{self, Account, Cause, Movement, Transfer};
use crate::migration::Migrator;
use crate::payer::Payer;
use crate::saga::Saga;
use crate::store;

/// The operation number of `credit_wallet` in idempotency records.
const OPERATION_CREDIT: i64 = 1;
/// The most one credit may put into a wallet, in minor units. Guards against a slipped zero, not against wealth.
pub const CREDIT_MINOR_MAX: i64 = 10_000_000_000;

/// What the service needs from outside.
pub struct Deps {
    pub db: Db,
    pub order: OrderClient,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    /// The one currency of the market.
    pub currency: Currency,
}

pub struct Service {
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    currency: Currency,
    payer: Arc<Payer>,
}

impl Service {
    /// Brings the database up to date and resumes what a crash cut short.
    pub async fn start(deps: Deps) -> Result<Arc<Self>> {
        let service = Arc::new(Self::open(deps).await?);
        service.payer.start().await?;
        Ok(service)
    }

    /// The service without its resumer.
    pub(crate) async fn open(deps: Deps) -> Result<Self> {
        db::migrate::<Migrator>(&deps.db).await?;
        let Deps { db, order, clock, ids, currency } = deps;
        let saga = Saga { db: db.clone(), order, clock: clock.clone(), ids: ids.clone(), currency };
        Ok(Self { db, clock, ids, currency, payer: Arc::new(Payer::new(saga)) })
    }

    /// Finishes the payments that run. The order service must still answer; the database is closed by its owner.
    pub async fn stop(&self) {
        self.payer.stop().await;
    }

    /// Waits until the service cannot go on; never returns otherwise.
    pub async fn died(&self) -> Fault {
        self.payer.died().await
    }

    /// Payments that have begun and not ended.
    pub async fn open_attempts(&self) -> Result<i64> {
        store::count_open(self.db.read()).await
    }

    fn money(&self, amount_minor: i64) -> Money {
        Money::new(amount_minor, self.currency)
    }

    fn shown(&self, movement: Movement) -> Result<WalletEntry> {
        let cause = movement.cause.shown();
        Ok(WalletEntry {
            transfer_id: movement.transfer,
            amount: self.money(movement.amount_minor),
            cause: cause.ok_or_else(|| Fault::internal(format!("{:?} in a wallet", movement.cause)))?,
            order_id: movement.order,
            reason: movement.reason,
            at: movement.at,
        })
    }
}

#[cfg(test)]
impl Service {
    pub(crate) fn database(&self) -> &Db {
        &self.db
    }

    pub(crate) fn payer(&self) -> &Arc<Payer> {
        &self.payer
    }

    pub(crate) fn saga(&self) -> &Saga {
        self.payer.saga()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.payer.abandon();
    }
}

#[async_trait]
impl Payment for Service {
    async fn credit_wallet(&self, ctx: &Ctx, request: CreditWallet) -> Result<Once<WalletEntry>> {
        let CreditWallet { admin, member, key, body } = request;
        contract::valid(&body)?;
        if body.amount.currency != self.currency {
            return Err(Fault::new(Code::CurrencyMismatch));
        }
        if !(1..=CREDIT_MINOR_MAX).contains(&body.amount.amount) {
            return Err(Fault::new(Code::AmountOutOfRange).fact("most", self.money(CREDIT_MINOR_MAX)));
        }
        let claim = Claim {
            member: admin.0,
            operation: OPERATION_CREDIT,
            key: key.as_str().to_owned(),
            fingerprint: fingerprint(&(member, &body)),
        };
        let txn = self.db.begin().await?;
        if let Some(entry) = idempotency::find(&txn, &claim).await? {
            return Ok(Once::again(entry));
        }
        let (id, at) = (TransferId(self.ids.next()), self.clock.now());
        let transfer = Transfer {
            id,
            cause: Cause::Credit,
            cause_id: id.0,
            order: None,
            actor: admin,
            reason: Some(body.reason.clone()),
            request_id: ctx.request_id.clone(),
            at,
            currency: self.currency,
            legs: ledger::legs(Account::IssuedCredit, Account::Wallet(member), body.amount.amount)?,
        };
        ledger::post(&txn, self.ids.as_ref(), transfer).await?;
        let entry = WalletEntry {
            transfer_id: id,
            amount: body.amount,
            cause: contract::payment::Cause::Credit,
            order_id: None,
            reason: Some(body.reason),
            at,
        };
        idempotency::record(&txn, &claim, &entry, at).await?;
        self.db.commit(txn).await?;
        tracing::info!(member.id = %member, transfer.id = %id, "wallet of {member} was credited");
        Ok(Once::first(entry))
    }

    async fn wallet(&self, _: &Ctx, member: MemberId) -> Result<Wallet> {
        let balance = ledger::balance(self.db.read(), Account::Wallet(member), self.currency).await?;
        Ok(Wallet { member_id: member, balance: self.money(balance) })
    }

    async fn list_wallet_entries(&self, _: &Ctx, request: ListWalletEntries) -> Result<Page<WalletEntry>> {
        let size = request.query.size.unwrap_or(PAGE_SIZE_DEFAULT).clamp(1, PAGE_SIZE_MAX);
        let before = request.query.cursor.map(|cursor| cursor.key::<i64>()).transpose()?.unwrap_or(i64::MAX);
        let rows_max = i64::try_from(size + 1).unwrap_or(i64::MAX);
        let wallet = Account::Wallet(request.member);
        let rows = ledger::movements(self.db.read(), wallet, self.currency, before, rows_max).await?;
        let page = Page::cut(rows, size, |movement| movement.seq);
        let items = page.items.into_iter().map(|movement| self.shown(movement)).collect::<Result<_>>()?;
        Ok(Page { items, next: page.next })
    }

    async fn pay(&self, ctx: &Ctx, request: Pay) -> Result<Once<Paid>> {
        match request.body.method {
            contract::payment::Method::Wallet => self.payer.pay(ctx, request).await,
        }
    }
}
