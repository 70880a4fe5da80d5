//! A small market of one service.

use std::sync::Arc;

use contract::IdempotencyKey;
use contract::event::{ItemOffer, OptionOffer, topic};
use contract::order::{LineBody, Order, OwnOption, Place, PlaceBody, Placed, Stock};
use contract::{Event, idempotency::Once};
use db::{Db, Source};
use kit::id::{ItemId, MemberId, OptionId, SaleId, StoreId};
use kit::{Clock, Ctx, Currency, Ids as _, ManualClock, Money, Result, SystemIds};

use crate::service::{Deps, Service, Settings};

pub struct Market {
    pub service: Arc<Service>,
    pub db: Db,
    pub clock: ManualClock,
    pub bus: bus::Shared,
    pub kv: kv::Shared,
    pub seller: MemberId,
    pub store: StoreId,
    pub ctx: Ctx,
    /// Removed when the test ends.
    _dir: tempfile::TempDir,
}

/// Every database that can be had here.
pub async fn markets(settings: Settings) -> Vec<Market> {
    let mut markets = Vec::new();
    let dir = tempfile::tempdir().expect("folder");
    let sqlite = Source::Sqlite { dir: dir.path().to_owned() };
    markets.push(market(sqlite, dir, settings.clone()).await);
    if let Ok(url) = std::env::var("JANGTEO_TEST_POSTGRES") {
        let prefix = format!("t{}", SystemIds.next().simple());
        let postgres = Source::Postgres { url, replica: None, prefix };
        markets.push(market(postgres, tempfile::tempdir().expect("folder"), settings).await);
    }
    markets
}

async fn market(source: Source, dir: tempfile::TempDir, settings: Settings) -> Market {
    let db = Db::open(&source, "order", &db::Settings::default()).await.expect("database");
    let clock = ManualClock::default();
    let (bus, kv): (bus::Shared, kv::Shared) = (Arc::new(bus::Memory::new()), Arc::new(kv::Memory::new()));
    let deps = Deps {
        db: db.clone(),
        kv: kv.clone(),
        bus: bus.clone(),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(SystemIds),
        settings,
    };
    let service = Service::start(deps).await.expect("service");
    let (seller, store) = (MemberId(SystemIds.next()), StoreId(SystemIds.next()));
    let ctx = Ctx::internal(&SystemIds);
    Market { service, db, clock, bus, kv, seller, store, ctx, _dir: dir }
}

impl Market {
    /// Puts an option with `units` on the shelf at 1,000 won.
    pub async fn option(&self, units: i64) -> OptionId {
        self.limited_option(units, None, None).await
    }

    pub async fn limited_option(&self, units: i64, limit: Option<i64>, days: Option<i64>) -> OptionId {
        let option = OptionId(SystemIds.next());
        self.offer(option, units, 1_000, limit, days, 1).await;
        option
    }

    pub async fn offer(
        &self,
        option: OptionId,
        units: i64,
        price: i64,
        limit: Option<i64>,
        days: Option<i64>,
        version: i64,
    ) {
        let event = Event::ItemChanged(ItemOffer {
            item: ItemId(option.0),
            store: self.store,
            seller: self.seller,
            item_name: "햇사과".into(),
            on_sale: true,
            version,
            options: vec![OptionOffer {
                option,
                name: "3 kg".into(),
                price,
                initial_stock: units,
                limit_per_member: limit,
                limit_days: days,
                withdrawn: false,
            }],
            at: self.clock.now(),
        });
        let message = bus::Message {
            id: SystemIds.next(),
            topic: topic::CATALOG.into(),
            payload: serde_json::to_string(&[event]).expect("json"),
            request_id: "test".into(),
        };
        // Twice, as a transport may: the second time has no effect.
        self.bus.publish(&message).await.expect("published");
        self.bus.publish(&message).await.expect("published");
    }

    pub async fn buy(&self, member: MemberId, key: &str, lines: &[(OptionId, i64)]) -> Result<Once<Placed>> {
        let units: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
        let lines = lines.iter().map(|(option, quantity)| line(*option, *quantity, None)).collect();
        self.place(member, key, lines, units * 1_000).await
    }

    pub async fn place(&self, member: MemberId, key: &str, lines: Vec<LineBody>, total: i64) -> Result<Once<Placed>> {
        let key = IdempotencyKey::parse(key).expect("key");
        let body = PlaceBody { lines, total: Money::new(total, Currency::KRW) };
        self.service.place(&self.ctx, Place { member, key, body }).await
    }

    pub async fn stock(&self, option: OptionId) -> Stock {
        self.service.stock(&self.ctx, OwnOption { seller: self.seller, option }).await.expect("stock")
    }

    /// Ends the market; what must always hold, holds.
    pub async fn close(self) {
        for check in crate::audit(&self.db).await.expect("audit") {
            assert!(check.breaches.is_empty(), "{} {}: {:?}", check.invariant, check.rule, check.breaches);
        }
        self.service.stop().await;
        self.db.close().await.expect("closed");
    }
}

pub fn line(option: OptionId, quantity: i64, sale: Option<SaleId>) -> LineBody {
    LineBody { option_id: option, quantity, sale_id: sale }
}

pub fn member() -> MemberId {
    MemberId(SystemIds.next())
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).expect("key")
}
