//! Changes of stock, each of them once, and the wait until the order service knows of what was created.
//!
//! A change is recognised by its reference, which stands as the note in the stock ledger: idempotency keys are
//! forgotten after a day, the ledger is not.

use std::time::Duration;

use anyhow::{Result, bail};
use contract::IdempotencyKey;
use contract::order::{ChangeStock, ChangeStockBody, ListStockEntries, OwnOption, StockQuery};
use kit::id::OptionId;
use kit::page::PAGE_SIZE_MAX;
use kit::{Fault, Kind};

use super::load::{Call, Shops, bar, explained, reason};
use super::own::Shop;
use super::plan::{ChangePlan, fold};
use super::report::Report;

/// Options asked for at once.
const OPTIONS_MAX: usize = 500;
/// The order service hears of new items within moments; longer than this, something is wrong there.
const WAIT_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn change(call: &Call<'_>, changes: &[ChangePlan], shops: &Shops, report: &mut Report) -> Result<()> {
    let bar = bar("stock", changes.len());
    for plan in changes {
        match change_one(call, plan, shops).await? {
            Ok(Outcome::Made) => report.stock_changes.made += 1,
            Ok(Outcome::There) => report.stock_changes.there += 1,
            Err(why) => report.refuse(plan.at, why),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

enum Outcome {
    Made,
    There,
}

async fn change_one(call: &Call<'_>, plan: &ChangePlan, shops: &Shops) -> Result<Result<Outcome, String>> {
    let (shop, option) = match option(plan, shops) {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let body = ChangeStockBody { difference: plan.difference, reason: plan.reason, note: plan.reference.clone() };
    if let Err(fault) = contract::valid(&body) {
        return reason(fault).map(Err);
    }
    arrive(call, shop, option).await?;
    match find(call, shop, option, &plan.reference).await? {
        Some(made) if made == plan.difference => return Ok(Ok(Outcome::There)),
        Some(made) => return Ok(Err(format!("reference: it stands for a change by {made} already"))),
        None => {}
    }
    // Against two imports at the same time.
    let hash = db::idempotency::fingerprint(&(option, &plan.reference));
    let key = IdempotencyKey::parse(&format!("import-{hash:016x}")).map_err(explained)?;
    let request = ChangeStock { seller: shop.seller, option, key, body };
    match call.again(|| call.market.order.change_stock(&call.ctx, request.clone())).await {
        Ok(once) if once.replayed => Ok(Ok(Outcome::There)),
        Ok(_) => Ok(Ok(Outcome::Made)),
        Err(fault) => reason(fault).map(Err),
    }
}

fn option<'a>(plan: &ChangePlan, shops: &'a Shops) -> Result<(&'a Shop, OptionId), String> {
    let shop = match shops.get(&fold(&plan.store)) {
        Some(Ok(shop)) => shop,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err("store: there is no such store".into()),
    };
    let item = shop.items.get(plan.item.trim()).ok_or("item: the store has no such item")?;
    let option = item.get(plan.option.trim()).ok_or("option: the item has no such option")?;
    Ok((shop, *option))
}

/// By how much the stock was changed under this reference.
async fn find(call: &Call<'_>, shop: &Shop, option: OptionId, reference: &str) -> Result<Option<i64>> {
    let mut query = StockQuery { cursor: None, size: Some(PAGE_SIZE_MAX) };
    loop {
        let request = ListStockEntries { seller: shop.seller, option, query: query.clone() };
        let page = call.again(|| call.market.order.list_stock_entries(&call.ctx, request.clone())).await;
        let page = page.map_err(explained)?;
        if let Some(entry) = page.items.iter().find(|entry| entry.note == reference.trim()) {
            return Ok(Some(entry.quantity));
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(None);
        }
    }
}

/// Waits until the order service has heard of an option.
async fn arrive(call: &Call<'_>, shop: &Shop, option: OptionId) -> Result<()> {
    let own = OwnOption { seller: shop.seller, option };
    let known = async {
        loop {
            match call.again(|| call.market.order.stock(&call.ctx, own)).await {
                Err(fault) if fault.kind() == Kind::NotFound => tokio::time::sleep(LOOK_EVERY).await,
                other => return other.map(|_| ()),
            }
        }
    };
    match tokio::time::timeout(WAIT_MAX, known).await {
        Ok(known) => known.map_err(explained),
        Err(_) => bail!("the order service has not heard of option {option} within {} s", WAIT_MAX.as_secs()),
    }
}

/// Waits until the order service has heard of all these options, so that they can be bought when the import ends.
pub(crate) async fn wait(call: &Call<'_>, options: &[OptionId], report: &mut Report) -> Result<()> {
    let bar = bar("shelves", options.len());
    let all = async {
        for some in options.chunks(OPTIONS_MAX) {
            let ask = || call.market.order.availability(&call.ctx, some.to_vec());
            while call.again(ask).await?.len() < some.len() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            bar.inc(some.len() as u64);
        }
        Ok::<(), Fault>(())
    };
    let heard = tokio::time::timeout(WAIT_MAX, all).await;
    bar.finish_and_clear();
    match heard {
        Ok(heard) => heard.map_err(explained),
        Err(_) => {
            report.notes.push("the order service has not heard of all items yet: it will, as the market runs".into());
            Ok(())
        }
    }
}
