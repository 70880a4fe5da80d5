//! Work by the clock: holds that run out, units left over from sales, records to forget.
//!
//! Every process may run these: each step is decided (and guarded) where it takes effect, so running twice does nothing.

use std::sync::Weak;
use std::time::Duration;

use contract::order::OrderState;
use futures_util::future::join_all;
use kit::id::{MemberId, OrderId};
use kit::{Ctx, Millis, Result};

use crate::intake::{Answer, Move, StockKey};
use crate::service::Service;
use crate::store;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Holds expired together; the rest follows at once.
const HOLDS_MAX: i64 = 500;
/// Rows of closed sales emptied in one round.
const ROWS_MAX: i64 = 500;
/// Units of a sale that come back (expired holds) go to the shelf for so long after its end.
const AFTER_CLOSING_MS: i64 = 7 * 24 * 3_600_000;
const PURGE_EVERY: Duration = Duration::from_secs(600);
const PURGE_ROWS: u64 = 20_000;
/// No transport repeats a message after so long.
const INBOX_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Expires holds that have run out.
pub async fn expire(service: Weak<Service>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(service) = service.upgrade() else { return };
        match expire_due(&service).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "holds expired"),
            Err(fault) => tracing::warn!(error = %fault, "holds could not be expired; it is tried again"),
        }
    }
}

async fn expire_due(service: &Service) -> Result<usize> {
    let mut count = 0;
    loop {
        let due = store::order::list_due(service.db.read(), service.clock.now(), HOLDS_MAX).await?;
        let ctx = Ctx::internal(&*service.ids);
        let answers = join_all(due.iter().map(|order| expire_one(service, &ctx, *order))).await;
        let expired = answers.into_iter().collect::<Result<Vec<bool>>>()?.into_iter().filter(|done| *done).count();
        count += expired;
        // A replica may still show what has just been expired: stop when nothing moves.
        if expired == 0 || i64::try_from(due.len()).unwrap_or(i64::MAX) < HOLDS_MAX {
            return Ok(count);
        }
    }
}

async fn expire_one(service: &Service, ctx: &Ctx, order: OrderId) -> Result<bool> {
    let answer = service.step(ctx, order, Move::Expire).await?;
    Ok(matches!(answer, Answer::Moved { state: OrderState::Expired, replayed: false, .. }))
}

/// Puts what is left of ended sales back on the shelf.
pub async fn return_left_overs(service: Weak<Service>) {
    loop {
        tokio::time::sleep(LOOK_EVERY * 4).await;
        let Some(service) = service.upgrade() else { return };
        if let Err(fault) = return_all(&service).await {
            tracing::warn!(error = %fault, "units of an ended sale could not be returned; it is tried again");
        }
    }
}

async fn return_all(service: &Service) -> Result<()> {
    let now = service.clock.now();
    let after = now.plus_ms(-AFTER_CLOSING_MS);
    for (key, seller, quantity) in store::stock::left_in_closed_sales(service.db.read(), after, now, ROWS_MAX).await? {
        return_one(service, key, seller, quantity, now).await?;
    }
    Ok(())
}

async fn return_one(service: &Service, key: StockKey, seller: MemberId, quantity: i64, now: Millis) -> Result<()> {
    let Some(sale) = key.sale() else { return Ok(()) };
    let ctx = Ctx::internal(&*service.ids);
    let txn = service.db.begin().await?;
    let before = store::stock::total(&txn, seller, key.option).await?.map_or(0, |stock| stock.available);
    let moved = store::stock::take_from_sale(&txn, key, quantity).await?
        && store::stock::put_on_shelf(&txn, key.option, quantity).await?;
    if !moved {
        return Ok(());
    }
    service.enter_set_aside(&txn, seller, key.option, sale, -quantity, now).await?;
    service.tell_turned(&ctx, &txn, seller, key.option, before, now).await?;
    service.db.commit(txn).await?;
    service.changed([key, StockKey::new(key.option, None)]);
    Ok(())
}

/// Forgets idempotency records and inbox rows that are past their time.
pub async fn purge(service: Weak<Service>) {
    loop {
        let Some(alive) = service.upgrade() else { return };
        if let Err(fault) = purge_some(&alive).await {
            tracing::warn!(error = %fault, "old records could not be forgotten; it is tried again");
        }
        drop(alive);
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

async fn purge_some(service: &Service) -> Result<()> {
    let now = service.clock.now();
    loop {
        let txn = service.db.begin().await?;
        let forgotten = db::idempotency::purge(&txn, now, db::idempotency::KEPT_MS, PURGE_ROWS).await?;
        bus::purge(&txn, now.plus_ms(-INBOX_KEPT_MS)).await?;
        service.db.commit(txn).await?;
        if forgotten < PURGE_ROWS {
            return Ok(());
        }
    }
}
