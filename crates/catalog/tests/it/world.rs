//! A catalogue of its own for each test, and somebody who listens to its events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Transport as _;
use catalog::{Deps, Service};
use contract::catalog::*;
use contract::event::{ItemOffer, topic};
use contract::{Event, IdempotencyKey};
use db::{Db, Settings, Source};
use kit::id::{CategoryId, MemberId, StoreId};
use kit::{Code, Ctx, Fault, Ids as _, ManualClock, SystemIds};
use tokio::sync::Mutex;
use uuid::Uuid;

pub struct World {
    pub catalog: CatalogClient,
    pub clock: ManualClock,
    pub db: Db,
    pub bus: Arc<bus::Memory>,
    pub ctx: Ctx,
    pub seller: MemberId,
    heard: Arc<Heard>,
    service: Arc<Service>,
    _dir: tempfile::TempDir,
}

#[derive(Default)]
struct Heard(Mutex<Vec<ItemOffer>>);

#[async_trait]
impl bus::Consumer for Heard {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn consume(&self, message: &bus::Message) -> kit::Result<()> {
        let events: Vec<Event> = serde_json::from_str(&message.payload).expect("events");
        for event in events {
            match event {
                Event::ItemChanged(offer) => self.0.lock().await.push(offer),
                other => panic!("the catalogue does not write {other:?}"),
            }
        }
        Ok(())
    }
}

/// Runs a test on every database there is, and audits what it leaves behind.
pub async fn on_each_database(test: impl AsyncFn(&World)) {
    let dir = || tempfile::tempdir().expect("folder");
    let folder = dir();
    let mut sources = vec![(Source::Sqlite { dir: folder.path().to_owned() }, folder)];
    if let Ok(url) = std::env::var("JANGTEO_TEST_POSTGRES") {
        let prefix = format!("t{}", SystemIds.next().simple());
        sources.push((Source::Postgres { url, replica: None, prefix }, dir()));
    }
    for (source, dir) in sources {
        let world = World::open(&source, dir).await;
        test(&world).await;
        world.settle().await;
        for check in catalog::audit(&world.db).await.expect("audit") {
            assert!(check.breaches.is_empty(), "{check:?}");
        }
        world.service.stop().await;
    }
}

impl World {
    async fn open(source: &Source, dir: tempfile::TempDir) -> Self {
        let db = Db::open(source, "catalog", &Settings::default()).await.expect("database");
        let bus = Arc::new(bus::Memory::new());
        let heard = Arc::new(Heard::default());
        bus.subscribe(topic::CATALOG, heard.clone()).await.expect("subscribed");
        let clock = ManualClock::default();
        let deps = Deps { db: db.clone(), bus: bus.clone(), clock: Arc::new(clock.clone()), ids: Arc::new(SystemIds) };
        let service = Service::start(deps).await.expect("service");
        let catalog = CatalogClient::local(service.clone());
        let (ctx, seller) = (Ctx::internal(&SystemIds), member());
        Self { catalog, clock, db, bus, ctx, seller, heard, service, _dir: dir }
    }

    /// Waits until the outbox is empty.
    pub async fn settle(&self) {
        for _ in 0..500 {
            if bus::backlog(self.db.read()).await.expect("backlog") == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("events were not handed on within 5 s");
    }

    /// What was told of items so far.
    pub async fn told(&self) -> Vec<ItemOffer> {
        self.settle().await;
        self.heard.0.lock().await.clone()
    }

    pub async fn store(&self, name: &str) -> Store {
        let body = StoreBody { name: name.into(), description: String::new() };
        let request = OpenStore { seller: self.seller, key: None, body };
        self.catalog.open_store(&self.ctx, request).await.expect("store").answer
    }

    pub async fn category(&self, name: &str, parent: Option<CategoryId>) -> CategoryId {
        let body = CategoryBody { name: name.into(), parent_id: parent };
        self.catalog.create_category(&self.ctx, body).await.expect("category").id
    }

    pub async fn try_item(&self, store: StoreId, body: ItemBody) -> kit::Result<Item> {
        let request = CreateItem { seller: self.seller, store, key: None, body };
        self.catalog.create_item(&self.ctx, request).await.map(|once| once.answer)
    }

    pub async fn item(&self, store: StoreId, body: ItemBody) -> Item {
        self.try_item(store, body).await.expect("item")
    }

    pub async fn update(&self, item: &Item, version: Option<i64>, body: ItemBody) -> kit::Result<Item> {
        let request = UpdateItem { seller: self.seller, item: item.id, version, body };
        self.catalog.update_item(&self.ctx, request).await
    }

    /// All pages of a list.
    pub async fn walk(&self, query: ListItems) -> Vec<ItemSummary> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.catalog.list_items(&self.ctx, ListItems { cursor, ..query.clone() }).await.expect("page");
            assert!(page.items.len() <= query.size.unwrap_or(20));
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }
}

pub fn member() -> MemberId {
    SystemIds.next().into()
}

pub fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::parse(text).expect("key"))
}

pub fn option(name: &str, price: i64, stock: i64) -> OptionBody {
    OptionBody { id: None, name: name.into(), price, stock, limit_per_member: None, limit_days: None }
}

/// The options of an item as its seller would send them back.
pub fn same_options(item: &Item) -> Vec<OptionBody> {
    let body = |o: &ItemOption| OptionBody { id: Some(o.id), ..option(&o.name, o.price, 0) };
    item.options.iter().map(body).collect()
}

pub fn body(name: &str, category_id: CategoryId, options: Vec<OptionBody>) -> ItemBody {
    ItemBody { name: name.into(), description: "# x".into(), category_id, on_sale: true, hidden: false, options }
}

pub fn unknown_category() -> CategoryId {
    Uuid::from_u128(77).into()
}

/// `(pointer, reason)` of the one wrong field.
pub fn wrong_field<T: std::fmt::Debug>(outcome: kit::Result<T>) -> (String, String) {
    let fault = outcome.expect_err("refused");
    assert_eq!(fault.code, Code::InvalidFields, "{fault:?}");
    assert_eq!(fault.fields.len(), 1, "{fault:?}");
    (fault.fields[0].pointer.to_string(), fault.fields[0].reason.to_string())
}

pub fn code<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> Code {
    outcome.expect_err("refused").code
}
