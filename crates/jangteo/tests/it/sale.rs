//! Limited sales: what is set aside, when it opens and closes, who may buy how much.

use std::time::Duration;

use contract::order::{Placed, Sale};
use futures_util::future::join_all;
use kit::Page;
use kit::id::{OptionId, SaleId};
use serde_json::{Value, json};

use crate::actor::{Actor, Line, Shelf};
use crate::app::App;
use crate::client::Reply;

every_column!(
    a_drop_opens_and_closes_by_the_clock,
    units_are_set_aside_and_come_back,
    a_drop_has_a_price_of_its_own,
    the_limit_of_a_drop_counts_across_orders_and_options,
    a_crowd_buys_exactly_what_there_is,
    a_drop_is_announced_once_per_key,
    a_drop_that_cannot_be_is_refused,
    drops_are_listed_until_they_end,
);

const HOUR: Duration = Duration::from_secs(3_600);

/// What a seller writes to announce a drop of `quantity` at 900 won, from an hour on for an hour.
fn body(app: &App, option: OptionId, quantity: i64) -> Value {
    let hours = |n: i64| app.now().plus_ms(n * 3_600_000);
    json!({"name": "오늘의 드롭", "opens_at": hours(1), "closes_at": hours(2),
        "lines": [{"option_id": option, "quantity": quantity, "price": 900}]})
}

async fn announce(shelf: &Shelf, body: &Value) -> Sale {
    let path = format!("/v1/stores/{}/sales", shelf.store.id);
    shelf.seller.post(&path, body).key("drop").send().await.expect(201).get()
}

async fn buy(buyer: &Actor, key: &str, option: OptionId, quantity: i64, sale: SaleId) -> Reply {
    buyer.order(key, &[Line::in_sale(option, quantity, sale)], 900 * quantity).send().await
}

async fn a_drop_opens_and_closes_by_the_clock(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let sale = announce(&shelf, &body(app, shelf.option, 5)).await;
    let buyer = app.buyer().await;
    let early = buy(&buyer, "a", shelf.option, 1, sale.id).await.refused(403, "sale_not_open").value();
    assert_eq!((&early["opens_at"], &early["closes_at"]), (&json!(sale.opens_at), &json!(sale.closes_at)));
    app.advance(HOUR - Duration::from_secs(5));
    buy(&buyer, "a", shelf.option, 1, sale.id).await.refused(403, "sale_not_open");
    app.advance(Duration::from_secs(5));
    let placed: Placed = buy(&buyer, "a", shelf.option, 1, sale.id).await.expect(201).get();
    assert_eq!(placed.lines[0].sale_id, Some(sale.id));
    app.advance(HOUR);
    buy(&buyer, "b", shelf.option, 1, sale.id).await.refused(403, "sale_not_open");
    assert!(buy(&buyer, "a", shelf.option, 1, sale.id).await.expect(201).is_replayed());
}

async fn units_are_set_aside_and_come_back(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let sale = announce(&shelf, &body(app, shelf.option, 6)).await;
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.supplied, stock.available, stock.set_aside), (10, 4, 6));
    let buyer = app.rich_buyer(10_000).await;
    buyer.buy("shelf", &shelf, 5).await.refused(409, "sold_out");
    app.advance(HOUR + Duration::from_secs(1));
    buy(&buyer, "much", shelf.option, 7, sale.id).await.refused(409, "sold_out");
    let paid = buy(&buyer, "a", shelf.option, 2, sale.id).await.expect(201).get::<Placed>().order_id;
    buyer.payment("p", paid).send().await.expect(200);
    let held = buy(&buyer, "b", shelf.option, 1, sale.id).await.expect(201).get::<Placed>().order_id;
    let open: Sale = app.anon().get(&format!("/v1/sales/{}", sale.id)).send().await.expect(200).get();
    assert_eq!((open.lines[0].quantity, open.lines[0].available), (6, 3));
    app.advance(HOUR);
    let left_over = async || {
        let stock = shelf.seller.stock(shelf.option).await;
        (stock.available, stock.set_aside, stock.held, stock.sold) == (8, 0, 0, 2)
    };
    app.eventually("what was not sold is back on the shelf", left_over).await;
    assert_eq!(buyer.view(held).await.state, contract::order::OrderState::Expired);
    buyer.hold("shelf", &shelf, 8).await;
}

async fn a_drop_has_a_price_of_its_own(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let sale = announce(&shelf, &body(app, shelf.option, 5)).await;
    app.advance(HOUR + Duration::from_secs(1));
    let buyer = app.buyer().await;
    let lines = [Line::of(shelf.option, 1), Line::in_sale(shelf.option, 2, sale.id)];
    let refused = buyer.order("a", &lines, 3_000).send().await.refused(409, "price_changed");
    assert_eq!(refused.value()["total"]["amount"], 2_800);
    buyer.order("a", &lines, 2_800).send().await.expect(201);
    let elsewhere = app.shelf(5, 900).await;
    let foreign = [Line::in_sale(elsewhere.option, 1, sale.id)];
    buyer.order("b", &foreign, 900).send().await.refused(409, "not_on_sale");
    let nowhere = [Line::in_sale(shelf.option, 1, SaleId(shelf.store.id.0))];
    buyer.order("c", &nowhere, 900).send().await.refused(409, "not_on_sale");
}

async fn the_limit_of_a_drop_counts_across_orders_and_options(app: &App) {
    let (shelf, buyer) = (app.shelf(10, 1_000).await, app.buyer().await);
    let options = json!({"name": "햇사과", "category_id": app.category().await, "options": [
        {"id": shelf.option, "name": "3 kg", "price": 1_000}, {"name": "5 kg", "price": 1_000, "stock": 10}]});
    let item: contract::catalog::Item =
        shelf.seller.put(&format!("/v1/items/{}", shelf.item.id), &options).send().await.expect(200).get();
    app.settle().await;
    let other = item.options[1].id;
    let mut drop = body(app, shelf.option, 5);
    drop["limit_per_member"] = json!(2);
    drop["lines"].as_array_mut().expect("lines").push(json!({"option_id": other, "quantity": 5, "price": 900}));
    let sale = announce(&shelf, &drop).await;
    app.advance(HOUR + Duration::from_secs(1));
    buy(&buyer, "a", shelf.option, 1, sale.id).await.expect(201);
    let order = buy(&buyer, "b", other, 1, sale.id).await.expect(201).get::<Placed>().order_id;
    buy(&buyer, "c", other, 1, sale.id).await.refused(422, "over_limit");
    buyer.hold("shelf", &shelf, 3).await;
    buyer.cancel("x", order).send().await.expect(200);
    buy(&buyer, "c", other, 1, sale.id).await.expect(201);
    buy(&buyer, "d", shelf.option, 1, sale.id).await.refused(422, "over_limit");
}

async fn a_crowd_buys_exactly_what_there_is(app: &App) {
    let shelf = app.shelf(30, 1_000).await;
    let mut drop = body(app, shelf.option, 30);
    drop["limit_per_member"] = json!(1);
    let sale = announce(&shelf, &drop).await;
    let crowd = app.buyers(100).await;
    app.advance(HOUR + Duration::from_secs(1));
    let twice = crowd.iter().flat_map(|buyer| [(buyer, "k"), (buyer, "l")]);
    let replies = join_all(twice.map(|(buyer, key)| buy(buyer, key, shelf.option, 1, sale.id))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 30);
    for pair in replies.chunks(2) {
        assert!(pair.iter().filter(|reply| reply.status == 201).count() <= 1, "{pair:?}");
    }
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert!(matches!(reply.code().as_str(), "sold_out" | "over_limit"), "{reply:?}");
    }
}

async fn a_drop_is_announced_once_per_key(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let drop = body(app, shelf.option, 5);
    let ask = shelf.seller.post(&format!("/v1/stores/{}/sales", shelf.store.id), &drop);
    let first = ask.clone().key("k").send().await.expect(201);
    let again = ask.clone().key("k").send().await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    assert_eq!(first.header("location"), again.header("location"));
    ask.clone().send().await.refused(400, "idempotency_key_missing");
    let other = body(app, shelf.option, 4);
    let reused = shelf.seller.post(&format!("/v1/stores/{}/sales", shelf.store.id), &other).key("k");
    reused.send().await.refused(422, "idempotency_key_reused");
    assert_eq!(shelf.seller.stock(shelf.option).await.set_aside, 5);
}

async fn a_drop_that_cannot_be_is_refused(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let other = app.shelf(10, 1_000).await;
    let path = format!("/v1/stores/{}/sales", shelf.store.id);
    let ask = |body: &Value, key: &str| shelf.seller.post(&path, body).key(key);
    ask(&body(app, shelf.option, 11), "a").send().await.refused(409, "stock_too_low");
    ask(&body(app, other.option, 1), "b").send().await.refused(404, "not_found");
    let mut backwards = body(app, shelf.option, 1);
    backwards["closes_at"] = backwards["opens_at"].clone();
    assert_eq!(ask(&backwards, "c").send().await.refused(422, "invalid_fields").errors(), ["/closes_at order"]);
    let mut past = body(app, shelf.option, 1);
    (past["opens_at"], past["closes_at"]) = (json!("2020-01-01T00:00:00Z"), json!("2020-01-02T00:00:00Z"));
    assert_eq!(ask(&past, "d").send().await.refused(422, "invalid_fields").errors(), ["/closes_at past"]);
    let mut twice = body(app, shelf.option, 1);
    let line = twice["lines"][0].clone();
    twice["lines"].as_array_mut().expect("lines").push(line);
    ask(&twice, "e").send().await.refused(422, "invalid_fields");
    let foreign = format!("/v1/stores/{}/sales", other.store.id);
    shelf.seller.post(&foreign, &body(app, shelf.option, 1)).key("f").send().await.refused(404, "not_found");
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.available, stock.set_aside), (10, 0), "nothing was taken");
}

async fn drops_are_listed_until_they_end(app: &App) {
    let shelf = app.shelf(30, 1_000).await;
    let path = format!("/v1/stores/{}/sales", shelf.store.id);
    let mut ids = Vec::new();
    for n in 1..=3_i64 {
        let mut drop = body(app, shelf.option, 2);
        drop["closes_at"] = json!(app.now().plus_ms((n + 1) * 3_600_000));
        let sale: Sale = shelf.seller.post(&path, &drop).key(&format!("k{n}")).send().await.expect(201).get();
        ids.push(sale.id);
    }
    let listed = async |query: &str| {
        let page: Page<Sale> = app.anon().get(&format!("/v1/sales?{query}")).send().await.expect(200).get();
        page.items.into_iter().map(|sale| sale.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ids);
    assert_eq!(listed(&format!("store={}", shelf.store.id)).await, ids);
    assert!(listed(&format!("store={}", shelf.option)).await.is_empty());
    let first = app.anon().get("/v1/sales?size=2").send().await.expect(200).value();
    assert_eq!(listed(&format!("size=2&cursor={}", first["next"].as_str().expect("more"))).await, ids[2..]);
    app.advance(2 * HOUR + Duration::from_secs(1));
    assert_eq!(listed("").await, ids[1..]);
    app.anon().get(&format!("/v1/sales/{}", ids[0])).send().await.expect(200);
}
