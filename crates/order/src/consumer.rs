//! Hears from the catalogue what is sold.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use contract::Event;
use contract::event::{ItemOffer, OptionOffer, topic};
use contract::order::StockCause;
use db::Txn;
use kit::id::SaleId;
use kit::{Code, Ctx, Fault, Millis, RequestId, Result};

use crate::intake::StockKey;
use crate::service::Service;
use crate::store;
use crate::store::stock::NewEntry;

/// A weak hold: the bus outlives the service.
struct Offers(Weak<Service>);

pub async fn subscribe(service: &Arc<Service>, bus: &bus::Shared) -> Result<()> {
    bus.subscribe(topic::CATALOG, Arc::new(Offers(Arc::downgrade(service)))).await
}

#[async_trait]
impl bus::Consumer for Offers {
    fn name(&self) -> &'static str {
        "order.offers"
    }

    async fn consume(&self, message: &bus::Message) -> Result<()> {
        let service = self.0.upgrade().ok_or(Code::Unavailable)?;
        let events: Vec<Event> = serde_json::from_str(&message.payload)
            .map_err(|e| Fault::internal(format!("message {} is not events: {e}", message.id)))?;
        let now = service.clock.now();
        let ctx = Ctx::new(RequestId::parse(&message.request_id).unwrap_or_else(|| RequestId::new(&*service.ids)));
        let txn = service.db.begin().await?;
        if !bus::first_time(&txn, self.name(), message, now).await? {
            return Ok(());
        }
        let mut changed = Vec::new();
        for event in &events {
            if let Event::ItemChanged(item) = event {
                changed.extend(apply(&service, &ctx, &txn, item, now).await?);
            }
        }
        service.db.commit(txn).await?;
        service.changed(changed);
        Ok(())
    }
}

/// Brings the local copy up to `item`; the stock rows it touched.
async fn apply(service: &Service, ctx: &Ctx, txn: &Txn, item: &ItemOffer, now: Millis) -> Result<Vec<StockKey>> {
    store::offer::note_store(txn, item).await?;
    let mut touched = Vec::new();
    for option in &item.options {
        let known = store::offer::version(txn, option.option).await?;
        if known.is_some_and(|version| version >= item.version) {
            continue;
        }
        let offer = service.ids.next();
        store::offer::create(txn, offer, item, option, now).await?;
        match known {
            Some(_) => store::offer::update(txn, offer, item, option).await?,
            None => put_on_shelf(service, ctx, txn, offer, item, option, now).await?,
        }
        for sale in store::offer::sales_of(txn, option.option).await? {
            touched.push(StockKey::new(option.option, (!sale.is_nil()).then_some(SaleId(sale))));
        }
    }
    Ok(touched)
}

async fn put_on_shelf(
    service: &Service,
    ctx: &Ctx,
    txn: &Txn,
    offer: uuid::Uuid,
    item: &ItemOffer,
    option: &OptionOffer,
    now: Millis,
) -> Result<()> {
    let new = store::offer::put_on_shelf(txn, offer, item, option).await?;
    if !new || option.initial_stock == 0 {
        return Ok(());
    }
    let entry = NewEntry {
        id: service.ids.next(),
        key: StockKey::new(option.option, None),
        cause: StockCause::Initial,
        quantity: option.initial_stock,
        actor: item.seller,
        note: "",
        at: now,
    };
    store::stock::create_entry(txn, entry).await?;
    service.tell_turned(ctx, txn, item.seller, option.option, 0, now).await
}
