//! More than the market can take: told so at once, and nothing that was acknowledged is lost. And its end: whatever was
//! answered before it stopped is there when it opens again.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::order::{OrderView, Placed};
use futures_util::future::join_all;
use kit::id::OrderId;

use crate::actor::{Actor, Shelf};
use crate::app::{App, Column};
use crate::client::{Lost, Reply};

every_bare_column!(
    too_many_requests_at_once_are_told_to_come_again,
    a_full_inbox_is_told_to_come_again,
    streams_are_counted,
    a_stop_loses_nothing_that_was_answered,
    what_was_held_when_it_stopped_expires_after_it_opens,
);

async fn too_many_requests_at_once_are_told_to_come_again(column: Column) {
    storm(App::with(&column, |config| config.limits.in_flight_max = 4).await).await;
}

async fn a_full_inbox_is_told_to_come_again(column: Column) {
    storm(App::with(&column, |config| (config.order.inbox_max, config.order.batch_max) = (1, 1)).await).await;
}

/// Everybody at once, and those who are turned away again until they are served.
async fn storm(app: App) {
    let shelf = app.shelf(1_000, 1_000).await;
    let crowd = app.buyers(100).await;
    let first = join_all(crowd.iter().map(|buyer| buyer.buy("k", &shelf, 1))).await;
    let served = first.iter().filter(|reply| reply.status == 201).count();
    assert!(served > 0 && served < crowd.len(), "{served} of {} were served", crowd.len());
    for reply in first.iter().filter(|reply| reply.status != 201) {
        reply.clone().refused(503, "overloaded");
    }
    let held = shelf.seller.stock(shelf.option).await.held;
    assert_eq!(held, i64::try_from(served).expect("small"), "whoever was turned away has nothing");
    for (buyer, reply) in crowd.iter().zip(&first) {
        let mut again = buyer.buy("k", &shelf, 1).await;
        while again.status == 503 {
            again = buyer.buy("k", &shelf, 1).await;
        }
        let placed: Placed = again.clone().expect(201).get();
        assert_eq!(again.is_replayed(), reply.status == 201);
        let orders = buyer.orders().await;
        assert_eq!(orders.iter().map(|order| order.id).collect::<Vec<_>>(), [placed.order_id]);
    }
    app.close().await;
}

async fn streams_are_counted(column: Column) {
    let app = App::with(&column, |config| config.limits.streams_max = 1).await;
    let shelf = app.shelf(1, 1_000).await;
    let path = format!("/v1/availability/stream?options={}", shelf.option);
    let first = crate::stock::Watch::open(&app, shelf.option).await;
    app.anon().get(&path).send().await.refused(503, "overloaded");
    drop(first);
    app.eventually("there is room again", async || app.anon().get(&path).send_head().await == 200).await;
    app.close().await;
}

/// What a buyer was told until the market was gone.
struct Told {
    buyer: Actor,
    placed: Vec<Placed>,
    unanswered: Vec<String>,
}

async fn buy_until_it_is_gone(buyer: Actor, shelf: &Shelf) -> Told {
    let (mut placed, mut unanswered) = (Vec::new(), Vec::new());
    for n in 0.. {
        let key = format!("k{n}");
        let order = buyer.order(&key, &[crate::actor::Line::of(shelf.option, 1)], shelf.price);
        match order.try_send().await {
            Ok(reply) if reply.status == 201 => placed.push(reply.get()),
            Ok(reply) => panic!("{reply:?}"),
            Err(Lost) => {
                unanswered.push(key);
                break;
            }
        }
    }
    Told { buyer, placed, unanswered }
}

async fn a_stop_loses_nothing_that_was_answered(column: Column) {
    let mut app = App::start(&column).await;
    let shelf = app.shelf(1_000_000, 1_000).await;
    let crowd = app.buyers(20).await;
    let market = app.take_market();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        market.stop().await.expect("stopped well");
    };
    let buying = join_all(crowd.into_iter().map(|buyer| buy_until_it_is_gone(buyer, &shelf)));
    let (told, ()) = tokio::join!(buying, stop);
    assert!(told.iter().all(|told| !told.placed.is_empty()), "everybody was served before the end");

    app.reopen().await;
    for Told { buyer, placed, unanswered } in told {
        let buyer = buyer.at(app.http());
        for receipt in &placed {
            assert_same(&buyer.view(receipt.order_id).await, receipt);
        }
        let mut known: BTreeSet<OrderId> = placed.iter().map(|receipt| receipt.order_id).collect();
        for key in unanswered {
            let again: Reply = buyer.buy(&key, &shelf, 1).await.expect(201);
            known.insert(again.get::<Placed>().order_id);
        }
        assert_eq!(all_orders(&buyer).await, known, "one order per key");
    }
    app.close().await;
}

async fn what_was_held_when_it_stopped_expires_after_it_opens(column: Column) {
    let mut app = App::start(&column).await;
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.buyer().await;
    buyer.hold("k", &shelf, 5).await;
    app.settle().await;
    app.stop().await;
    app.advance(Duration::from_secs(3_600));
    app.reopen().await;
    let seller = shelf.seller.clone().at(app.http());
    app.eventually("the stock is back", async || seller.stock(shelf.option).await.available == 5).await;
    let shelf = Shelf { seller, ..shelf };
    assert!(buyer.at(app.http()).buy("k", &shelf, 5).await.expect(201).is_replayed(), "the key is remembered");
    app.close().await;
}

fn assert_same(view: &OrderView, receipt: &Placed) {
    assert_eq!((view.id, view.total, view.placed_at), (receipt.order_id, receipt.total, receipt.placed_at));
    assert_eq!(view.lines.len(), receipt.lines.len());
    for (seen, told) in view.lines.iter().zip(&receipt.lines) {
        let seen = (seen.option_id, seen.sale_id, seen.quantity, seen.unit_price);
        assert_eq!(seen, (told.option_id, told.sale_id, told.quantity, told.unit_price));
    }
}

/// Ids of all orders of a buyer, page by page.
async fn all_orders(buyer: &Actor) -> BTreeSet<OrderId> {
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let reply = buyer.get(&format!("/v1/orders?size=100{cursor}")).send().await.expect(200);
        ids.extend(reply.get::<kit::Page<OrderView>>().items.into_iter().map(|order| order.id));
        match reply.value()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}
