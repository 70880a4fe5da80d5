//! How fast the intake is by itself, without HTTP: `cargo run --release -p order --example intake -- [batch_max]`.

use std::sync::Arc;
use std::time::Instant;

use contract::IdempotencyKey;
use contract::event::{ItemOffer, OptionOffer, topic};
use contract::order::{LineBody, Order as _, Place, PlaceBody};
use db::{Db, Source};
use kit::id::{ItemId, MemberId, OptionId, StoreId};
use kit::{Clock as _, Ctx, Currency, Ids as _, Money, SystemClock, SystemIds};

const IN_FLIGHT: usize = 512;

#[tokio::main]
async fn main() -> kit::Result<()> {
    let number = |n: usize, or: usize| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (batch_max, orders, options) = (number(1, 512), number(2, 100_000), number(3, 1));
    let limit = (number(4, 0) > 0).then_some(1_000_000);
    let dir = std::env::temp_dir().join(format!("jangteo-intake-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(kit::Fault::internal)?;
    let source = match std::env::var("JANGTEO_TEST_POSTGRES") {
        Ok(url) => Source::Postgres { url, replica: None, prefix: format!("x{}", SystemIds.next().simple()) },
        Err(_) => Source::Sqlite { dir: dir.clone() },
    };
    let db = Db::open(&source, "order", &db::Settings::default()).await?;
    let bus: bus::Shared = Arc::new(bus::Memory::new());
    let deps = order::Deps {
        db,
        kv: Arc::new(kv::Memory::new()),
        bus: bus.clone(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        settings: order::Settings { batch_max, ..order::Settings::default() },
    };
    let service = order::Service::start(deps).await?;
    let all: Vec<OptionId> = (0..options).map(|_| OptionId(SystemIds.next())).collect();
    for chunk in all.chunks(100) {
        bus.publish(&offer(chunk, limit)).await?;
    }
    let members: Vec<MemberId> = (0..20_000).map(|_| MemberId(SystemIds.next())).collect();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let workers = (0..IN_FLIGHT).map(|worker| {
        let (service, all, members) = (service.clone(), all.clone(), members.clone());
        tokio::spawn(async move {
            for n in (worker..orders).step_by(IN_FLIGHT) {
                let line = LineBody { option_id: all[n % all.len()], quantity: 1, sale_id: None };
                let body = PlaceBody { lines: vec![line], total: Money::new(1_000, Currency::KRW) };
                let key = IdempotencyKey::parse(&SystemIds.next().to_string())?;
                let place = Place { member: members[(n * 7919) % members.len()], key, body };
                service.place(&Ctx::internal(&SystemIds), place).await?;
            }
            Ok::<(), kit::Fault>(())
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.map_err(kit::Fault::internal)??;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let n = orders as f64;
    println!("batch_max {batch_max}: {:.0} orders/s, {:.1} µs CPU each", n / seconds, cpu / n * 1e6);
    service.stop().await;
    std::fs::remove_dir_all(&dir).map_err(kit::Fault::internal)
}

fn offer(options: &[OptionId], limit: Option<i64>) -> bus::Message {
    let one = |option: &OptionId| OptionOffer {
        option: *option,
        name: "3 kg".into(),
        price: 1_000,
        initial_stock: 100_000_000,
        limit_per_member: limit,
        limit_days: None,
        withdrawn: false,
    };
    let event = contract::Event::ItemChanged(ItemOffer {
        item: ItemId(SystemIds.next()),
        store: StoreId(SystemIds.next()),
        seller: MemberId(SystemIds.next()),
        item_name: "apples".into(),
        on_sale: true,
        version: 1,
        options: options.iter().map(one).collect(),
        at: SystemClock.now(),
    });
    let payload = serde_json::to_string(&[event]).unwrap_or_default();
    bus::Message { id: SystemIds.next(), topic: topic::CATALOG.into(), payload, request_id: "bench".into() }
}

/// User and system time of this process, all threads, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
