//! What sellers have in the market already: their stores, items and options, by name.

use std::collections::HashMap;

use anyhow::Result;
use contract::catalog::{Item, ListOwnItems, ListStores, OwnItemsQuery, Store};
use kit::Code;
use kit::id::{MemberId, OptionId, StoreId};
use kit::page::PAGE_SIZE_MAX;

use super::load::{Call, explained};
use super::plan::fold;

/// A store that is there, new or not.
#[derive(Debug)]
pub(super) struct Shop {
    pub id: StoreId,
    pub seller: MemberId,
    /// Its items' options, by name.
    pub items: HashMap<String, HashMap<String, OptionId>>,
}

impl Shop {
    pub(super) fn new(store: &Store) -> Self {
        Self { id: store.id, seller: store.seller_id, items: HashMap::new() }
    }

    pub(super) fn note(&mut self, item: &Item) {
        let options = item.options.iter().map(|option| (option.name.clone(), option.id)).collect();
        self.items.insert(item.name.clone(), options);
    }

    /// A store that was there before this run, with all that is in it.
    pub(super) async fn read(call: &Call<'_>, store: &Store) -> Result<Self> {
        let mut shop = Self::new(store);
        let mut query = OwnItemsQuery { cursor: None, size: Some(PAGE_SIZE_MAX) };
        loop {
            let request = ListOwnItems { seller: shop.seller, store: shop.id, query: query.clone() };
            let page = call.again(|| call.market.catalog.list_own_items(&call.ctx, request.clone())).await;
            let page = page.map_err(explained)?;
            page.items.iter().for_each(|item| shop.note(item));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(shop);
            }
        }
    }
}

/// The open store of this name, of one seller when given.
pub(super) async fn store(call: &Call<'_>, name: &str, seller: Option<MemberId>) -> Result<Option<Store>> {
    let mut query = ListStores { name: Some(name.trim().to_owned()), seller, cursor: None, size: Some(PAGE_SIZE_MAX) };
    loop {
        let page = call.again(|| call.market.catalog.list_stores(&call.ctx, query.clone())).await;
        let page = match page {
            Ok(page) => page,
            // No store can have such a name.
            Err(fault) if fault.code == Code::InvalidFields => return Ok(None),
            Err(fault) => return Err(explained(fault)),
        };
        // The market looks for a part of the name; it has to be the whole.
        let found = page.items.into_iter().find(|store| fold(&store.name) == fold(name));
        query.cursor = page.next;
        if found.is_some() || query.cursor.is_none() {
            return Ok(found);
        }
    }
}
