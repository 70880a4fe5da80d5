//! The catalogue's methods: rules, the transaction, the event. Ids and times are made here.
//!
//! Invariant: an item, its options and what is derived from them change only under the item's lock, and the event
//! of the change commits with it.

use std::sync::Arc;

use async_trait::async_trait;
use contract::IdempotencyKey;
use contract::catalog::{
    Catalog, Category, CategoryBody, CreateItem, GetItem, Item, ItemSort, ItemSummary, ListItems, ListOwnItems,
    ListStores, OpenStore, OwnStore, Store, UpdateCategory, UpdateItem, UpdateStore,
};
use contract::event::topic;
use contract::idempotency::Once;
use db::idempotency::Claim;
use db::{Db, Txn};
use kit::id::{CategoryId, MemberId, StoreId};
use kit::page::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use kit::{Clock, Code, Ctx, Fault, Ids, Millis, Page, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::consume::Sales;
use crate::keep::Keeper;
use crate::offer::{self, Change};
use crate::table::shelf::{self, Look};
use crate::table::{self, Migrator, refused};
use crate::{rule, tree};

/// What the service is built on.
pub struct Deps {
    pub db: Db,
    pub bus: bus::Shared,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

pub struct Service {
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    wake: bus::Wake,
    /// Taken out when the service is stopped.
    running: Mutex<Option<(bus::Relay, Keeper)>>,
}

/// What an idempotency key was used for.
#[derive(Clone, Copy)]
enum Operation {
    OpenStore = 1,
    CreateItem = 2,
}

impl Service {
    /// Brings the database up to date, listens to orders and begins to hand on events.
    pub async fn start(deps: Deps) -> Result<Arc<Self>> {
        let Deps { db, bus, clock, ids } = deps;
        db::migrate::<Migrator>(&db).await?;
        bus.subscribe(topic::ORDER, Arc::new(Sales::new(db.clone(), clock.clone()))).await?;
        let wake = bus::Wake::default();
        let relay = bus::Relay::start(db.clone(), bus, wake.clone());
        let keeper = Keeper::start(db.clone(), clock.clone());
        Ok(Arc::new(Self { db, clock, ids, wake, running: Mutex::new(Some((relay, keeper))) }))
    }

    /// Ends the background work after what runs. The database stays open: it belongs to the caller.
    pub async fn stop(&self) {
        if let Some((relay, keeper)) = self.running.lock().await.take() {
            relay.stop().await;
            keeper.stop().await;
        }
    }

    /// Commits a change that wrote events.
    async fn commit_and_tell(&self, txn: Txn) -> Result<()> {
        self.db.commit(txn).await?;
        self.wake.wake();
        Ok(())
    }

    /// What every change of an item writes beside its own row.
    async fn write_around(
        &self,
        ctx: &Ctx,
        txn: &Txn,
        item: &table::item::Model,
        options: &[table::option::Model],
        description: &str,
        now: Millis,
    ) -> Result<()> {
        table::item::describe(txn, item.id, description).await?;
        table::option::write(txn, options).await?;
        offer::tell(txn, &*self.ids, ctx, item, options, now).await
    }
}

#[async_trait]
impl Catalog for Service {
    async fn open_store(&self, _: &Ctx, request: OpenStore) -> Result<Once<Store>> {
        contract::valid(&request.body)?;
        let now = self.clock.now();
        let claim = claim(request.seller, Operation::OpenStore, request.key, &request.body);
        let txn = self.db.begin().await?;
        if let Some(answer) = first_answer(&txn, claim.as_ref()).await? {
            return Ok(Once::again(answer));
        }
        let row = table::store::Model {
            id: self.ids.next(),
            seller_id: request.seller.0,
            name: request.body.name.trim().to_owned(),
            name_folded: table::store::fold(&request.body.name),
            description: request.body.description,
            opened_at_ms: now.0,
            closed_at_ms: None,
        };
        let store = Store::from(row.clone());
        // Before the effect: another request with this key waits here, instead of meeting the effect.
        record(&txn, claim.as_ref(), &store, now).await?;
        table::store::insert(&txn, row).await.map_err(refused)?;
        self.db.commit(txn).await?;
        tracing::debug!(store.id = %store.id, member.id = %store.seller_id, "store {} opened", store.id);
        Ok(Once::first(store))
    }

    async fn update_store(&self, _: &Ctx, request: UpdateStore) -> Result<Store> {
        contract::valid(&request.body)?;
        let txn = self.db.begin().await?;
        let mut row = lock_open_store(&txn, request.seller, request.store).await?;
        row.name = request.body.name.trim().to_owned();
        row.name_folded = table::store::fold(&row.name);
        row.description = request.body.description;
        table::store::rename(&txn, request.seller.0, &row).await.map_err(refused)?;
        self.db.commit(txn).await?;
        Ok(row.into())
    }

    async fn close_store(&self, ctx: &Ctx, request: OwnStore) -> Result<()> {
        let now = self.clock.now();
        let (seller, store) = (request.seller.0, request.store.0);
        let txn = self.db.begin().await?;
        let row = table::store::lock(&txn, seller, store).await?.ok_or(Code::NotFound)?;
        if row.closed_at_ms.is_some() {
            return Ok(());
        }
        table::store::close(&txn, seller, store, now).await?;
        let items = table::item::on_sale_in(&txn, store).await?;
        offer::change_many(&txn, &*self.ids, ctx, &items, Change::EndSale, now).await?;
        self.commit_and_tell(txn).await?;
        tracing::debug!(store.id = %store, items = items.len(), "store {store} closed");
        Ok(())
    }

    async fn store(&self, _: &Ctx, id: StoreId) -> Result<Store> {
        let found = table::store::find(self.db.read(), id.0).await?;
        found.map(Store::from).ok_or(Code::NotFound.into())
    }

    async fn list_stores(&self, _: &Ctx, request: ListStores) -> Result<Page<Store>> {
        contract::valid(&request)?;
        let size = size(request.size);
        let after = request.cursor.map(|cursor| cursor.key()).transpose()?;
        let part = request.name.map(|name| table::store::fold(&name));
        let seller = request.seller.map(Uuid::from);
        let rows = table::store::list(self.db.read(), seller, part.as_deref(), after, size as u64 + 1).await?;
        Ok(Page::cut(rows, size, |row| (row.opened_at_ms, row.id)).map(Store::from))
    }

    async fn create_item(&self, ctx: &Ctx, request: CreateItem) -> Result<Once<Item>> {
        let body = request.body;
        contract::valid(&body)?;
        let now = self.clock.now();
        let claim = claim(request.seller, Operation::CreateItem, request.key, &(request.store, &body));
        let txn = self.db.begin().await?;
        if let Some(answer) = first_answer(&txn, claim.as_ref()).await? {
            return Ok(Once::again(answer));
        }
        let store = lock_open_store(&txn, request.seller, request.store).await?;
        let id = self.ids.next();
        let options = rule::options(id, &[], &body.options, &*self.ids)?;
        let row = table::item::Model {
            id,
            store_id: store.id,
            seller_id: store.seller_id,
            category_id: body.category_id.0,
            name: body.name.trim().to_owned(),
            on_sale: body.on_sale,
            hidden: body.hidden,
            price_min: rule::price_min(&options),
            in_stock: rule::in_stock(&options),
            sold: 0,
            version: 1,
            created_at_ms: now.0,
        };
        let item = offer::detail(row.clone(), body.description, &options);
        record(&txn, claim.as_ref(), &item, now).await?;
        table::item::insert(&txn, row.clone()).await.map_err(refused)?;
        self.write_around(ctx, &txn, &row, &options, &item.description, now).await?;
        self.commit_and_tell(txn).await?;
        Ok(Once::first(item))
    }

    async fn update_item(&self, ctx: &Ctx, request: UpdateItem) -> Result<Item> {
        let body = request.body;
        contract::valid(&body)?;
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let was = table::item::lock(&txn, request.seller.0, request.item.0).await?.ok_or(Code::NotFound)?;
        if request.version.is_some_and(|version| version != was.version) {
            return Err(Fault::new(Code::Stale).fact("version", was.version));
        }
        // Read after the lock: a store that closes meanwhile waits for the item, or has taken it off the shelf.
        let store = table::store::find(&txn, was.store_id).await?.ok_or(Code::NotFound)?;
        must_be_open(&store)?;
        let options = rule::options(was.id, &table::option::of_item(&txn, was.id).await?, &body.options, &*self.ids)?;
        let row = table::item::Model {
            category_id: body.category_id.0,
            name: body.name.trim().to_owned(),
            on_sale: body.on_sale,
            hidden: body.hidden,
            price_min: rule::price_min(&options),
            in_stock: rule::in_stock(&options),
            version: was.version + 1,
            ..was
        };
        table::item::update(&txn, request.seller.0, &row).await.map_err(refused)?;
        self.write_around(ctx, &txn, &row, &options, &body.description, now).await?;
        self.commit_and_tell(txn).await?;
        Ok(offer::detail(row, body.description, &options))
    }

    async fn item(&self, _: &Ctx, request: GetItem) -> Result<Item> {
        let found = table::item::find(self.db.read(), request.item.0).await?;
        let shown = |item: &table::item::Model| !item.hidden || request.viewer == Some(MemberId(item.seller_id));
        let found = found.filter(|found| shown(&found.item)).ok_or(Code::NotFound)?;
        let options = table::option::of_item(self.db.read(), found.item.id).await?;
        Ok(offer::detail(found.item, found.description, &options))
    }

    async fn list_items(&self, _: &Ctx, request: ListItems) -> Result<Page<ItemSummary>> {
        contract::valid(&request)?;
        let size = size(request.size);
        let sort = request.sort;
        let categories = match request.category {
            Some(category) => Some(table::category::subtree(self.db.read(), category.0).await?),
            None => None,
        };
        // A category that is not there has no items.
        if categories.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let look = Look {
            store: request.store.map(Uuid::from),
            categories,
            price_min: request.price_min,
            price_max: request.price_max,
            in_stock: request.in_stock,
            since: request.since,
            sort,
            after: request.cursor.map(|cursor| position(&cursor, sort)).transpose()?,
            limit: limit(size),
        };
        let rows = shelf::list(self.db.read(), &look).await?;
        Ok(Page::cut(rows, size, |row| (sort, shelf::key(sort, row))))
    }

    async fn list_own_items(&self, _: &Ctx, request: ListOwnItems) -> Result<Page<Item>> {
        contract::valid(&request.query)?;
        let size = size(request.query.size);
        let store = table::store::find(self.db.read(), request.store.0).await?.ok_or(Code::NotFound)?;
        if store.seller_id != request.seller.0 {
            return Err(Code::NotFound.into());
        }
        // A name can be too long for a cursor, so the cursor is the item's id.
        let after = request.query.cursor.map(|cursor| cursor.key::<Uuid>()).transpose()?;
        let rows = table::item::list_own(self.db.read(), store.seller_id, store.id, after, limit(size)).await?;
        let page = Page::cut(rows, size, |row| row.item.id);
        let ids: Vec<Uuid> = page.items.iter().map(|row| row.item.id).collect();
        let options = table::option::of_items(self.db.read(), &ids).await?;
        Ok(page.map(|row| {
            let own = options.iter().filter(|option| option.item_id == row.item.id);
            offer::detail(row.item.clone(), row.description, own)
        }))
    }

    async fn list_categories(&self, _: &Ctx, (): ()) -> Result<Vec<Category>> {
        let rows = table::category::all(self.db.read()).await?;
        Ok(tree::in_order(rows).into_iter().map(Category::from).collect())
    }

    async fn create_category(&self, _: &Ctx, body: CategoryBody) -> Result<Category> {
        contract::valid(&body)?;
        let row = category_row(self.ids.next(), &body);
        let txn = self.db.begin().await?;
        tree::may_stand(&table::category::lock_all(&txn).await?, &row)?;
        table::category::insert(&txn, row.clone()).await.map_err(refused)?;
        self.db.commit(txn).await?;
        Ok(row.into())
    }

    async fn update_category(&self, _: &Ctx, request: UpdateCategory) -> Result<Category> {
        contract::valid(&request.body)?;
        let row = category_row(request.category.0, &request.body);
        let txn = self.db.begin().await?;
        let rows = table::category::lock_all(&txn).await?;
        if rows.iter().all(|known| known.id != row.id) {
            return Err(Code::NotFound.into());
        }
        tree::may_stand(&rows, &row)?;
        table::category::update(&txn, row.clone()).await.map_err(refused)?;
        self.db.commit(txn).await?;
        Ok(row.into())
    }

    async fn remove_category(&self, ctx: &Ctx, id: CategoryId) -> Result<()> {
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let rows = table::category::lock_all(&txn).await?;
        let row = rows.into_iter().find(|row| row.id == id.0).ok_or(Code::NotFound)?;
        if !row.parent_id.is_nil() {
            let items = table::item::in_category(&txn, row.id).await?;
            offer::change_many(&txn, &*self.ids, ctx, &items, Change::MoveTo(row.parent_id), now).await?;
        } else if !table::item::category_is_empty(&txn, row.id).await? {
            return Err(Fault::new(Code::CategoryNotEmpty).fact("reason", "items_without_parent"));
        }
        table::category::move_children(&txn, row.id, row.parent_id).await.map_err(child_name_taken)?;
        table::category::delete(&txn, row.id).await?;
        self.commit_and_tell(txn).await
    }
}

/// The seller's own store, held for the transaction. Errors: `not_found`, `store_closed`.
async fn lock_open_store(txn: &Txn, seller: MemberId, id: StoreId) -> Result<table::store::Model> {
    let store = table::store::lock(txn, seller.0, id.0).await?.ok_or(Code::NotFound)?;
    must_be_open(&store)?;
    Ok(store)
}

fn must_be_open(store: &table::store::Model) -> Result<()> {
    match store.closed_at_ms {
        None => Ok(()),
        Some(_) => Err(Code::StoreClosed.into()),
    }
}

fn category_row(id: Uuid, body: &CategoryBody) -> table::category::Model {
    let parent_id = body.parent_id.map(Uuid::from).unwrap_or_default();
    table::category::Model { id, parent_id, name: body.name.trim().to_owned() }
}

/// A child of the removed category has the name of one that it would come to stand beside.
fn child_name_taken(e: db::sea_orm::DbErr) -> Fault {
    match db::unique_violation(&e, "category", &["parent_id", "name"]) {
        true => Fault::new(Code::CategoryNotEmpty).fact("reason", "child_name_taken"),
        false => db::fault(e),
    }
}

fn size(asked: Option<usize>) -> usize {
    asked.unwrap_or(PAGE_SIZE_DEFAULT).clamp(1, PAGE_SIZE_MAX)
}

/// One row more than the page has tells whether there is another page.
fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)
}

/// A cursor knows the sort it was given out for. Errors: `bad_cursor`.
fn position(cursor: &kit::Cursor, sort: ItemSort) -> Result<shelf::After> {
    let (given_for, after) = cursor.key::<(ItemSort, shelf::After)>()?;
    match given_for == sort {
        true => Ok(after),
        false => Err(Code::BadCursor.into()),
    }
}

fn claim(member: MemberId, operation: Operation, key: Option<IdempotencyKey>, body: &impl Serialize) -> Option<Claim> {
    key.map(|key| Claim {
        member: member.0,
        operation: operation as i64,
        key: key.as_str().to_owned(),
        fingerprint: db::idempotency::fingerprint(body),
    })
}

async fn first_answer<T: DeserializeOwned>(txn: &Txn, claim: Option<&Claim>) -> Result<Option<T>> {
    match claim {
        Some(claim) => db::idempotency::find(txn, claim).await,
        None => Ok(None),
    }
}

async fn record(txn: &Txn, claim: Option<&Claim>, answer: &impl Serialize, now: Millis) -> Result<()> {
    match claim {
        Some(claim) => db::idempotency::record(txn, claim, answer, now).await,
        None => Ok(()),
    }
}
