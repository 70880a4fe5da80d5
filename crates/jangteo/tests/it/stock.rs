//! Stock for its seller; availability for everybody, read once or live.

use std::time::{Duration, Instant};

use contract::order::{Availability, StockCause, StockEntry};
use kit::Page;
use kit::id::OptionId;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::app::App;

every_column!(
    stock_is_changed_by_a_difference_with_a_reason,
    every_change_has_a_cause_and_an_actor,
    what_is_held_cannot_be_taken_away,
    availability_is_read_for_many_options,
    open_pages_hear_of_changes,
    a_restock_puts_an_item_back_on_the_shelf,
);

fn change(difference: i64, reason: &str) -> serde_json::Value {
    json!({"difference": difference, "reason": reason, "note": "손으로 셈"})
}

fn path(option: OptionId) -> String {
    format!("/v1/options/{option}/stock/changes")
}

async fn stock_is_changed_by_a_difference_with_a_reason(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let restock = shelf.seller.post(&path(shelf.option), &change(5, "restock")).key("k");
    let first = restock.send().await.expect(200);
    let again = restock.send().await.expect(200);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.supplied, stock.available, stock.written_off), (15, 15, 0));
    shelf.seller.post(&path(shelf.option), &change(-4, "correction")).key("l").send().await.expect(200);
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.supplied, stock.available, stock.written_off), (15, 11, 4));
    let negative = shelf.seller.post(&path(shelf.option), &change(-1, "restock")).key("m").send().await;
    assert_eq!(negative.refused(422, "invalid_fields").errors(), ["/difference range"]);
    let other = shelf.seller.post(&path(shelf.option), &change(6, "restock")).key("k").send().await;
    other.refused(422, "idempotency_key_reused");
    shelf.seller.post(&path(shelf.option), &change(1, "restock")).send().await.refused(400, "idempotency_key_missing");
    let stranger = app.seller().await.post(&path(shelf.option), &change(1, "restock")).key("k").send().await;
    stranger.refused(404, "not_found");
}

async fn every_change_has_a_cause_and_an_actor(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 3).await.order_id;
    buyer.payment("p", order).send().await.expect(200);
    shelf.seller.post(&path(shelf.option), &change(-1, "correction")).key("k").send().await.expect(200);
    let entries = format!("/v1/options/{}/stock/entries", shelf.option);
    let page: Page<StockEntry> = shelf.seller.get(&entries).send().await.expect(200).get();
    let seen: Vec<_> = page.items.iter().map(|entry| (entry.cause, entry.quantity)).collect();
    assert_eq!(seen, [(StockCause::Correction, -1), (StockCause::Order, -3), (StockCause::Initial, 10)]);
    assert_eq!((page.items[0].actor_id, page.items[0].note.as_str()), (shelf.seller.id, "손으로 셈"));
    assert_eq!(page.items[1].order_id, Some(order));
    let first = shelf.seller.get(&format!("{entries}?size=2")).send().await.expect(200).value();
    let rest = format!("{entries}?size=2&cursor={}", first["next"].as_str().expect("more"));
    let rest: Page<StockEntry> = shelf.seller.get(&rest).send().await.expect(200).get();
    assert_eq!(rest.items, page.items[2..]);
    app.seller().await.get(&entries).send().await.refused(404, "not_found");
}

async fn what_is_held_cannot_be_taken_away(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    app.buyer().await.hold("a", &shelf, 8).await;
    let refused = shelf.seller.post(&path(shelf.option), &change(-3, "correction")).key("k").send().await;
    assert_eq!(refused.refused(409, "stock_too_low").value()["available"], 2);
    shelf.seller.post(&path(shelf.option), &change(-2, "correction")).key("k").send().await.expect(200);
}

async fn availability_is_read_for_many_options(app: &App) {
    let (one, two) = (app.shelf(10, 1_000).await, app.shelf(0, 1_000).await);
    let unknown = kit::Ids::next(&kit::SystemIds);
    let query = format!("/v1/availability?options={},{unknown},{}", one.option, two.option);
    let reply = app.anon().get(&query).send().await.expect(200).value();
    let items: Vec<Availability> = serde_json::from_value(reply["items"].clone()).expect("items");
    let of = |option: OptionId| items.iter().find(|item| item.option_id == option).expect("item");
    assert_eq!(items.len(), 2, "what is not known is left out");
    assert_eq!((of(one.option).available, of(one.option).on_sale), (10, true));
    assert_eq!(of(two.option).available, 0);
    let many: Vec<String> = (0..101).map(|_| unknown.to_string()).collect();
    app.anon().get(&format!("/v1/availability?options={}", many.join(","))).send().await.refused(400, "bad_query");
}

/// The rule is a second; a busy test machine gets more, so that this fails only when nobody is told.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

async fn open_pages_hear_of_changes(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let mut page = Watch::open(app, shelf.option).await;
    assert_eq!(page.next().await.available, 10, "first what is");
    let buyer = app.buyer().await;
    for (key, left) in [("a", 7), ("b", 4)] {
        let order = buyer.hold(key, &shelf, 3).await.order_id;
        let begun = Instant::now();
        while page.next().await.available != left {}
        assert!(begun.elapsed() < TOLD_WITHIN, "{:?}", begun.elapsed());
        if key == "b" {
            buyer.cancel("c", order).send().await.expect(200);
            let begun = Instant::now();
            while page.next().await.available != 7 {}
            assert!(begun.elapsed() < TOLD_WITHIN, "{:?}", begun.elapsed());
        }
    }
    shelf.seller.post(&path(shelf.option), &change(5, "restock")).key("k").send().await.expect(200);
    while page.next().await.available != 12 {}
}

async fn a_restock_puts_an_item_back_on_the_shelf(app: &App) {
    let shelf = app.shelf(0, 1_000).await;
    let shown =
        async || app.anon().get("/v1/items?in_stock=true").send().await.expect(200).value()["items"] != json!([]);
    assert!(!shown().await);
    app.buyer().await.buy("a", &shelf, 1).await.refused(409, "sold_out");
    shelf.seller.post(&path(shelf.option), &change(1, "restock")).key("k").send().await.expect(200);
    app.settle().await;
    assert!(shown().await);
    app.buyer().await.hold("a", &shelf, 1).await;
    app.settle().await;
    assert!(!shown().await);
}

/// A page that watches one option.
pub struct Watch {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

impl Watch {
    pub async fn open(app: &App, option: OptionId) -> Self {
        let mut stream = TcpStream::connect(app.market().address()).await.expect("connected");
        let head = format!("GET /v1/availability/stream?options={option} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("asked");
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.expect("read").expect("a line");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        Self { lines }
    }

    /// The next event; fails when none comes.
    async fn next(&mut self) -> Availability {
        loop {
            let line = tokio::time::timeout(Duration::from_secs(5), self.lines.next_line()).await;
            let line = line.expect("in time").expect("read").expect("the stream goes on");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).expect("an availability");
            }
        }
    }
}
