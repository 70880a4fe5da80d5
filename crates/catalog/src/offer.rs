//! What the order service is told of items.

use contract::Event;
use contract::catalog::{Item, ItemOption};
use contract::event::{ItemOffer, OptionOffer, topic};
use kit::{Ctx, Ids, Millis, Result};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::table;

/// Items told of in one message: some hundred kilobytes at most when every item has many options.
const ITEMS_PER_MESSAGE: usize = 50;

/// Writes the event of a changed item.
pub(crate) async fn tell(
    txn: &impl ConnectionTrait,
    ids: &dyn Ids,
    ctx: &Ctx,
    item: &table::item::Model,
    options: &[table::option::Model],
    now: Millis,
) -> Result<()> {
    bus::append(txn, ids, ctx, topic::CATALOG, &[event(item, options, now)], now).await
}

/// A change of many items at once.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    EndSale,
    MoveTo(Uuid),
}

/// Makes the change and writes the events, some items at a time.
pub(crate) async fn change_many(
    txn: &impl ConnectionTrait,
    ids: &dyn Ids,
    ctx: &Ctx,
    items: &[Uuid],
    change: Change,
    now: Millis,
) -> Result<()> {
    for some in items.chunks(ITEMS_PER_MESSAGE) {
        match change {
            Change::EndSale => table::item::end_sale(txn, some).await?,
            Change::MoveTo(category) => table::item::move_to(txn, some, category).await?,
        }
        let changed = table::item::list(txn, some).await?;
        let options = table::option::of_items(txn, some).await?;
        let own = |item: Uuid| options.iter().filter(move |option| option.item_id == item);
        let events: Vec<Event> = changed.iter().map(|item| event(item, own(item.id), now)).collect();
        bus::append(txn, ids, ctx, topic::CATALOG, &events, now).await?;
    }
    Ok(())
}

fn event<'a>(
    item: &table::item::Model,
    options: impl IntoIterator<Item = &'a table::option::Model>,
    at: Millis,
) -> Event {
    Event::ItemChanged(ItemOffer {
        item: item.id.into(),
        store: item.store_id.into(),
        seller: item.seller_id.into(),
        item_name: item.name.clone(),
        // An item of a closed store is not on sale: closing says so.
        on_sale: item.on_sale && !item.hidden,
        version: item.version,
        options: options.into_iter().map(option_offer).collect(),
        at,
    })
}

fn option_offer(row: &table::option::Model) -> OptionOffer {
    OptionOffer {
        option: row.id.into(),
        name: row.name.clone(),
        price: row.price,
        initial_stock: row.initial_stock,
        limit_per_member: row.limit_per_member,
        limit_days: row.limit_days,
        withdrawn: row.withdrawn,
    }
}

/// The item as its page shows it: without the options that are withdrawn.
pub(crate) fn detail<'a>(
    item: table::item::Model,
    description: String,
    options: impl IntoIterator<Item = &'a table::option::Model>,
) -> Item {
    let shown = options.into_iter().filter(|row| !row.withdrawn).map(|row| ItemOption {
        id: row.id.into(),
        name: row.name.clone(),
        price: row.price,
        limit_per_member: row.limit_per_member,
        limit_days: row.limit_days,
    });
    Item {
        id: item.id.into(),
        store_id: item.store_id.into(),
        seller_id: item.seller_id.into(),
        category_id: item.category_id.into(),
        name: item.name,
        description,
        on_sale: item.on_sale,
        hidden: item.hidden,
        options: shown.collect(),
        created_at: Millis(item.created_at_ms),
        version: item.version,
    }
}
