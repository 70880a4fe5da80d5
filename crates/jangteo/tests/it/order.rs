//! Placing, paying, reading and cancelling orders.

use std::time::Duration;

use contract::order::{OrderState, Placed, StoreLine};
use contract::payment::Paid;
use futures_util::future::join_all;
use kit::Page;
use serde_json::json;

use crate::actor::Line;
use crate::app::{App, Column};

every_column!(
    an_order_is_placed_paid_and_read_by_both_sides,
    the_same_request_again_gets_the_same_answer,
    one_key_names_one_request,
    a_key_is_required,
    ten_times_the_same_key_at_once_is_one_order,
    nothing_is_sold_twice,
    an_order_is_whole_or_not_at_all,
    the_price_that_was_shown_is_the_price_that_is_paid,
    a_limit_holds_over_orders_and_cancelling_gives_it_back,
    an_unpaid_hold_ends_and_its_stock_returns,
    a_hold_can_be_given_back_once,
    paying_needs_money,
    paying_twice_takes_the_money_once,
    a_paid_order_stays_paid,
    history_is_filtered_and_paged,
    two_hundred_people_want_fifty,
);
every_bare_column!(holds_last_as_long_as_configured);

async fn an_order_is_placed_paid_and_read_by_both_sides(app: &App) {
    let shelf = app.shelf(10, 15_000).await;
    let buyer = app.rich_buyer(100_000).await;

    let reply = buyer.buy("k", &shelf, 2).await.expect(201);
    let placed: Placed = reply.get();
    assert_eq!(reply.header("location"), Some(format!("/v1/orders/{}", placed.order_id).as_str()));
    assert!(!reply.is_replayed());
    assert_eq!((placed.total.amount, placed.lines[0].unit_price, placed.lines[0].quantity), (30_000, 15_000, 2));
    assert_eq!(placed.hold_expires_at.since(placed.placed_at), 600_000);
    let held = buyer.view(placed.order_id).await;
    assert_eq!((held.state, held.hold_expires_at), (OrderState::Held, Some(placed.hold_expires_at)));
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.supplied, stock.available, stock.held, stock.sold), (10, 8, 2, 0));

    let paid: Paid = buyer.payment("p", placed.order_id).send().await.expect(200).get();
    assert_eq!((paid.order_id, paid.amount.amount), (placed.order_id, 30_000));
    assert_eq!(buyer.balance().await, 70_000);
    let view = buyer.view(placed.order_id).await;
    assert_eq!((view.state, view.paid_at.is_some(), view.hold_expires_at), (OrderState::Paid, true, None));
    assert_eq!((view.lines[0].item_name.as_str(), view.lines[0].option_name.as_str()), ("햇사과", "3 kg"));
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.available, stock.held, stock.sold), (8, 0, 2));

    let lines = shelf.seller.get(&format!("/v1/stores/{}/lines", shelf.store.id)).send().await.expect(200);
    let page: Page<StoreLine> = lines.get();
    assert_eq!((page.items.len(), page.items[0].order_id, page.items[0].line.quantity), (1, placed.order_id, 2));
    assert!(!lines.value().to_string().contains(&buyer.id.to_string()), "the store does not learn who bought");
    app.settle().await;
    let item = app.anon().get("/v1/items").send().await.expect(200).value();
    assert_eq!(item["items"][0]["sold"], 2, "the shelf has heard of it");
}

async fn the_same_request_again_gets_the_same_answer(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let first = buyer.buy("k", &shelf, 3).await.expect(201);
    let order = first.get::<Placed>().order_id;
    let again = buyer.buy("k", &shelf, 3).await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body, "to the byte");
    assert_eq!(again.header("location"), first.header("location"));

    let paid = buyer.payment("k", order).send().await.expect(200);
    let paid_again = buyer.payment("k", order).send().await.expect(200);
    assert!(paid_again.is_replayed() && !paid.is_replayed());
    assert_eq!(paid_again.body, paid.body);
    let after = buyer.buy("k", &shelf, 3).await.expect(201);
    assert_eq!((after.is_replayed(), &after.body), (true, &first.body), "also when the order has gone on");
    assert_eq!(shelf.seller.stock(shelf.option).await.available, 7);
    assert_eq!(buyer.balance().await, 7_000);

    // A key is its member's own.
    let other = app.buyer().await;
    assert!(!other.buy("k", &shelf, 3).await.expect(201).is_replayed());
}

async fn one_key_names_one_request(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("k", &shelf, 1).await.order_id;
    buyer.buy("k", &shelf, 2).await.refused(422, "idempotency_key_reused");
    let other = buyer.hold("l", &shelf, 1).await.order_id;
    buyer.payment("k", order).send().await.expect(200);
    buyer.payment("k", other).send().await.refused(422, "idempotency_key_reused");
    buyer.cancel("c", other).send().await.expect(200);
    buyer.cancel("c", order).send().await.refused(422, "idempotency_key_reused");
    assert_eq!(buyer.orders().await.len(), 2);
}

async fn a_key_is_required(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let buyer = app.buyer().await;
    let order = buyer.order("k", &[Line::of(shelf.option, 1)], 1_000);
    order.clone().without("idempotency-key").send().await.refused(400, "idempotency_key_missing");
    for bad in ["", " ", "a b", "é", &"x".repeat(301)] {
        order.clone().header("idempotency-key", bad).send().await.refused(400, "idempotency_key_missing");
    }
    order.clone().key(&"x".repeat(300)).send().await.expect(201);
    assert_eq!(buyer.orders().await.len(), 1);
}

async fn ten_times_the_same_key_at_once_is_one_order(app: &App) {
    let shelf = app.shelf(10, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let replies = join_all((0..10).map(|_| buyer.buy("k", &shelf, 1))).await;
    let first: Vec<_> = replies.iter().filter(|reply| reply.status == 201 && !reply.is_replayed()).collect();
    assert_eq!(first.len(), 1, "{replies:?}");
    for reply in &replies {
        match reply.status {
            201 => assert_eq!(reply.body, first[0].body),
            409 => assert_eq!(reply.code(), "idempotency_in_progress"),
            _ => panic!("{reply:?}"),
        }
    }
    assert_eq!(shelf.seller.stock(shelf.option).await.available, 9);

    let order = first[0].get::<Placed>().order_id;
    let paid = join_all((0..10).map(|_| async { buyer.payment("p", order).send().await })).await;
    assert_eq!(paid.iter().filter(|reply| reply.status == 200 && !reply.is_replayed()).count(), 1, "{paid:?}");
    assert!(paid.iter().all(|reply| matches!(reply.status, 200 | 409)), "{paid:?}");
    assert_eq!(buyer.balance().await, 9_000);
}

async fn nothing_is_sold_twice(app: &App) {
    let shelf = app.shelf(3, 1_000).await;
    let buyer = app.buyer().await;
    buyer.hold("a", &shelf, 2).await;
    let refused = buyer.buy("b", &shelf, 2).await.refused(409, "sold_out");
    assert_eq!((&refused.value()["line"], &refused.value()["available"]), (&json!(0), &json!(1)));
    buyer.hold("c", &shelf, 1).await;
    buyer.buy("d", &shelf, 1).await.refused(409, "sold_out");
    // A refusal is no result: the key may be used again.
    app.advance(Duration::from_secs(601));
    app.eventually("the holds expire", async || shelf.seller.stock(shelf.option).await.available == 3).await;
    app.eventually("it can be bought again", async || buyer.buy("d", &shelf, 1).await.status == 201).await;
}

async fn an_order_is_whole_or_not_at_all(app: &App) {
    let (one, other) = (app.shelf(5, 1_000).await, app.shelf(1, 2_000).await);
    let buyer = app.buyer().await;
    let lines = |n| [Line::of(one.option, 2), Line::of(other.option, n)];
    let refused = buyer.order("a", &lines(2), 6_000).send().await.refused(409, "sold_out");
    assert_eq!(refused.value()["line"], 1);
    assert_eq!(one.seller.stock(one.option).await.available, 5);
    let placed: Placed = buyer.order("b", &lines(1), 4_000).send().await.expect(201).get();
    assert_eq!(placed.lines.len(), 2);
    let seen: Page<StoreLine> =
        other.seller.get(&format!("/v1/stores/{}/lines", other.store.id)).send().await.expect(200).get();
    assert_eq!(seen.items.len(), 1, "each store sees its own lines only");
    let unknown = Line::of(kit::id::OptionId(kit::Ids::next(&kit::SystemIds)), 1);
    buyer.order("c", &[lines(1)[0], unknown], 3_000).send().await.refused(409, "not_on_sale");
}

async fn the_price_that_was_shown_is_the_price_that_is_paid(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.buyer().await;
    let line = [Line::of(shelf.option, 2)];
    let refused = buyer.order("a", &line, 1_999).send().await.refused(409, "price_changed");
    assert_eq!(refused.value()["total"], json!({"amount": 2_000, "currency": "KRW"}));
    let dearer = json!({"name": "햇사과", "category_id": app.category().await,
        "options": [{"id": shelf.option, "name": "3 kg", "price": 1_500}]});
    let dear: contract::catalog::Item =
        shelf.seller.put(&format!("/v1/items/{}", shelf.item.id), &dearer).send().await.expect(200).get();
    assert_eq!((dear.options[0].id, dear.version), (shelf.option, 2));
    app.settle().await;
    let refused = buyer.order("a", &line, 2_000).send().await.refused(409, "price_changed");
    assert_eq!(refused.value()["total"]["amount"], 3_000);
    let placed: Placed = buyer.order("a", &line, 3_000).send().await.expect(201).get();
    assert_eq!(placed.lines[0].unit_price, 1_500);
    let dollars = json!({"lines": [{"option_id": shelf.option, "quantity": 1}],
        "total": {"amount": 1_500, "currency": "USD"}});
    buyer.post("/v1/orders", &dollars).key("d").send().await.refused(422, "currency_mismatch");
}

async fn a_limit_holds_over_orders_and_cancelling_gives_it_back(app: &App) {
    let option = json!({"name": "3 kg", "price": 1_000, "stock": 50, "limit_per_member": 3});
    let shelf = app.shelf_with(option).await;
    let (buyer, other) = (app.buyer().await, app.buyer().await);
    let order = buyer.hold("a", &shelf, 2).await.order_id;
    let refused = buyer.buy("b", &shelf, 2).await.refused(422, "over_limit").value();
    assert_eq!((&refused["limit"], &refused["left"]), (&json!(3), &json!(1)));
    buyer.hold("c", &shelf, 1).await;
    buyer.buy("d", &shelf, 1).await.refused(422, "over_limit");
    other.hold("a", &shelf, 3).await;
    buyer.cancel("e", order).send().await.expect(200);
    buyer.hold("d", &shelf, 2).await;
    let lines = [Line::of(shelf.option, 2), Line::of(shelf.option, 2)];
    app.buyer().await.order("a", &lines, 4_000).send().await.refused(422, "over_limit");
}

async fn an_unpaid_hold_ends_and_its_stock_returns(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 5).await.order_id;
    app.advance(Duration::from_secs(599));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(buyer.view(order).await.state, OrderState::Held, "not a second too early");
    app.advance(Duration::from_secs(2));
    app.eventually("the hold ends", async || buyer.view(order).await.state == OrderState::Expired).await;
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.available, stock.held, stock.sold), (5, 0, 0));
    buyer.payment("p", order).send().await.refused(409, "hold_ended");
    buyer.cancel("c", order).send().await.refused(409, "illegal_move");
    assert_eq!(buyer.balance().await, 10_000);
    let replayed = buyer.buy("a", &shelf, 5).await.expect(201);
    assert!(replayed.is_replayed(), "the key still stands for the hold that was given");
}

async fn holds_last_as_long_as_configured(column: Column) {
    let app = App::with(&column, |config| config.order.hold_minutes = 0.5).await;
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.buyer().await;
    let placed = buyer.hold("a", &shelf, 5).await;
    assert_eq!(placed.hold_expires_at.since(placed.placed_at), 30_000);
    app.advance(Duration::from_secs(31));
    let expired = async || buyer.view(placed.order_id).await.state == OrderState::Expired;
    app.eventually("the hold ends", expired).await;
    app.close().await;
}

async fn a_hold_can_be_given_back_once(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 4).await.order_id;
    let cancelled = buyer.cancel("c", order).send().await.expect(200);
    assert_eq!(cancelled.get::<contract::order::OrderView>().state, OrderState::Cancelled);
    let again = buyer.cancel("c", order).send().await.expect(200);
    assert!(again.is_replayed());
    assert_eq!(again.body, cancelled.body);
    buyer.cancel("d", order).send().await.refused(409, "illegal_move");
    buyer.payment("p", order).send().await.refused(409, "illegal_move");
    assert_eq!(shelf.seller.stock(shelf.option).await.available, 5);
}

async fn paying_needs_money(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.rich_buyer(1_999).await;
    let order = buyer.hold("a", &shelf, 2).await.order_id;
    buyer.payment("p", order).send().await.refused(409, "insufficient_funds");
    let view = buyer.view(order).await;
    assert_eq!((view.state, view.payment_running), (OrderState::Held, false), "the hold goes on");
    assert_eq!(buyer.balance().await, 1_999);
    app.credit(buyer.id, 1).await;
    buyer.payment("q", order).send().await.expect(200);
    assert_eq!(buyer.balance().await, 0);
}

async fn paying_twice_takes_the_money_once(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 1).await.order_id;
    let keys: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    let replies = join_all(keys.iter().map(|key| async { buyer.payment(key, order).send().await })).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(matches!(reply.code().as_str(), "payment_running" | "illegal_move"), "{reply:?}");
    }
    app.settle().await;
    assert_eq!(buyer.balance().await, 9_000);
}

async fn a_paid_order_stays_paid(app: &App) {
    let shelf = app.shelf(5, 0).await;
    let buyer = app.buyer().await;
    let order = buyer.hold("a", &shelf, 1).await.order_id;
    buyer.payment("p", order).send().await.expect(200);
    buyer.cancel("c", order).send().await.refused(409, "illegal_move");
    buyer.payment("q", order).send().await.refused(409, "illegal_move");
    app.advance(Duration::from_secs(3_600));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(buyer.view(order).await.state, OrderState::Paid);
}

async fn history_is_filtered_and_paged(app: &App) {
    let shelf = app.shelf(50, 100).await;
    let buyer = app.rich_buyer(10_000).await;
    let mut placed = Vec::new();
    for n in 0..5 {
        placed.push(buyer.hold(&format!("k{n}"), &shelf, 1).await);
        app.advance(Duration::from_secs(1));
    }
    buyer.payment("p", placed[1].order_id).send().await.expect(200);
    buyer.cancel("c", placed[3].order_id).send().await.expect(200);

    let ids = |orders: &[contract::order::OrderView]| orders.iter().map(|order| order.id).collect::<Vec<_>>();
    let newest_first: Vec<_> = placed.iter().rev().map(|order| order.order_id).collect();
    assert_eq!(ids(&buyer.orders().await), newest_first);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = buyer.get(&format!("/v1/orders?size=2{cursor}")).send().await.expect(200);
        paged.extend(ids(&reply.get::<Page<contract::order::OrderView>>().items));
        match reply.value()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, newest_first);
    for (query, expected) in [
        ("state=paid".to_owned(), vec![placed[1].order_id]),
        ("state=cancelled".to_owned(), vec![placed[3].order_id]),
        (format!("from={}", placed[3].placed_at), vec![placed[4].order_id, placed[3].order_id]),
        (format!("to={}", placed[1].placed_at), vec![placed[0].order_id]),
        ("state=expired".to_owned(), vec![]),
    ] {
        let reply = buyer.get(&format!("/v1/orders?{query}")).send().await.expect(200);
        assert_eq!(ids(&reply.get::<Page<contract::order::OrderView>>().items), expected, "{query}");
        let path = format!("/v1/stores/{}/lines?{query}", shelf.store.id);
        let lines: Page<StoreLine> = shelf.seller.get(&path).send().await.expect(200).get();
        assert_eq!(lines.items.iter().map(|line| line.order_id).collect::<Vec<_>>(), expected, "{path}");
    }
    assert!(app.buyer().await.orders().await.is_empty(), "everybody sees their own");
}

async fn two_hundred_people_want_fifty(app: &App) {
    let option = json!({"name": "한정판", "price": 1_000, "stock": 50, "limit_per_member": 1});
    let shelf = app.shelf_with(option).await;
    let crowd = app.buyers(200).await;
    let replies = join_all(crowd.iter().map(|buyer| buyer.buy("k", &shelf, 1))).await;
    let sold = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(sold, 50);
    assert!(replies.iter().all(|reply| reply.status == 201 || reply.code() == "sold_out"));
    let again = join_all(crowd.iter().map(|buyer| buyer.buy("again", &shelf, 1))).await;
    for (first, second) in replies.iter().zip(&again) {
        let code = second.code();
        match first.status {
            201 => assert!(code == "over_limit" || code == "sold_out", "{second:?}"),
            _ => assert_eq!(code, "sold_out", "{second:?}"),
        }
    }
    // Everybody who was refused may ask again with the same key, and those who were served get the same answer.
    let retried = join_all(crowd.iter().map(|buyer| buyer.buy("k", &shelf, 1))).await;
    for (first, second) in replies.iter().zip(&retried) {
        assert_eq!(first.status, second.status);
        if first.status == 201 {
            assert_eq!(first.body, second.body);
        }
    }
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.available, stock.held), (0, 50));
}
