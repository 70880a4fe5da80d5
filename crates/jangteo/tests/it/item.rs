//! Items, their options, and the shelf.

use std::time::Duration;

use contract::catalog::{Item, ItemSummary};
use kit::Page;
use kit::id::OptionId;
use serde_json::{Value, json};

use crate::app::App;

every_column!(
    options_keep_their_ids_when_an_item_is_edited,
    a_withdrawn_option_cannot_be_bought,
    a_hidden_item_is_its_sellers_own,
    an_item_off_sale_is_shown_and_not_sold,
    a_change_in_between_is_noticed,
    names_are_unique_where_they_must_be,
    changes_do_not_wait_for_news_of_the_stock,
    an_item_shows_what_can_be_bought,
    creating_again_with_the_same_key_creates_nothing,
    the_shelf_is_filtered,
    the_shelf_is_sorted_and_paged,
    a_cursor_belongs_to_its_list,
    own_items_are_listed_whole,
);

async fn edit(app: &App, body: Value) -> Value {
    let mut body = body;
    body["category_id"] = json!(app.category().await);
    body
}

async fn options_keep_their_ids_when_an_item_is_edited(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let path = format!("/v1/items/{}", shelf.item.id);
    let body = json!({"name": "햇사과 상자", "description": "# 달다", "options": [
        {"name": "5 kg", "price": 2_000, "stock": 4},
        {"id": shelf.option, "name": "3 kg 상자", "price": 1_200},
    ]});
    let item: Item = shelf.seller.put(&path, &edit(app, body).await).send().await.expect(200).get();
    let ids: Vec<OptionId> = item.options.iter().map(|option| option.id).collect();
    assert_eq!((ids[1], item.version, item.options[1].price), (shelf.option, 2, 1_200));
    assert_ne!(ids[0], shelf.option);
    app.settle().await;
    assert_eq!(shelf.seller.stock(shelf.option).await.available, 7, "stock is not touched by an edit");
    assert_eq!(shelf.seller.stock(ids[0]).await.available, 4);
    // Stock of an option that exists is changed by a difference, never here.
    let overwrite =
        json!({"name": "햇사과", "options": [{"id": shelf.option, "name": "3 kg", "price": 1, "stock": 9}]});
    let refused = shelf.seller.put(&path, &edit(app, overwrite).await).send().await.refused(422, "invalid_fields");
    assert_eq!(refused.errors(), ["/options/0/stock not_changed_here"]);
    let foreign =
        json!({"name": "햇사과", "options": [{"id": app.shelf(1, 1).await.option, "name": "3 kg", "price": 1}]});
    let refused = shelf.seller.put(&path, &edit(app, foreign).await).send().await.refused(422, "invalid_fields");
    assert_eq!(refused.errors(), ["/options/0/id unknown"]);
}

async fn a_withdrawn_option_cannot_be_bought(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 1).await.order_id;
    let path = format!("/v1/items/{}", shelf.item.id);
    let without = edit(app, json!({"name": "햇사과", "options": [{"name": "새 옵션", "price": 1, "stock": 1}]})).await;
    shelf.seller.put(&path, &without).send().await.expect(200);
    app.settle().await;
    buyer.buy("b", &shelf, 1).await.refused(409, "not_on_sale");
    buyer.payment("p", order).send().await.expect(200);
    let back = json!({"name": "햇사과", "options": [{"id": shelf.option, "name": "3 kg", "price": 1_000}]});
    shelf.seller.put(&path, &edit(app, back).await).send().await.expect(200);
    app.settle().await;
    buyer.hold("b", &shelf, 1).await;
}

async fn a_hidden_item_is_its_sellers_own(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let buyer = app.buyer().await;
    let path = format!("/v1/items/{}", shelf.item.id);
    let hidden =
        json!({"name": "햇사과", "hidden": true, "options": [{"id": shelf.option, "name": "3 kg", "price": 1_000}]});
    shelf.seller.put(&path, &edit(app, hidden).await).send().await.expect(200);
    app.settle().await;
    for stranger in [app.anon(), buyer.clone(), app.seller().await, app.admin().await.clone()] {
        stranger.get(&path).send().await.refused(404, "not_found");
    }
    assert_eq!(shelf.seller.get(&path).send().await.expect(200).value()["hidden"], true);
    assert_eq!(app.anon().get("/v1/items").send().await.expect(200).value()["items"], json!([]));
    buyer.buy("a", &shelf, 1).await.refused(409, "not_on_sale");
}

async fn an_item_off_sale_is_shown_and_not_sold(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let off =
        json!({"name": "햇사과", "on_sale": false, "options": [{"id": shelf.option, "name": "3 kg", "price": 1_000}]});
    let path = format!("/v1/items/{}", shelf.item.id);
    shelf.seller.put(&path, &edit(app, off).await).send().await.expect(200);
    app.settle().await;
    assert_eq!(app.anon().get(&path).send().await.expect(200).value()["on_sale"], false);
    app.buyer().await.buy("a", &shelf, 1).await.refused(409, "not_on_sale");
}

async fn a_change_in_between_is_noticed(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let body = json!({"name": "배", "options": [{"id": shelf.option, "name": "3 kg", "price": 1_000}]});
    let change = shelf.seller.put(&format!("/v1/items/{}", shelf.item.id), &edit(app, body).await);
    change.clone().header("if-match", "\"1\"").send().await.expect(200);
    let stale = change.clone().header("if-match", "\"1\"").send().await.refused(409, "stale");
    assert_eq!(stale.value()["version"], 2);
    for bad in ["1", "\"x\"", "*", "W/\"2\""] {
        change.clone().header("if-match", bad).send().await.refused(400, "bad_header");
    }
    change.send().await.expect(200);
}

async fn names_are_unique_where_they_must_be(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let path = format!("/v1/stores/{}/items", shelf.store.id);
    let twin = edit(app, json!({"name": " 햇사과 ", "options": [{"name": "a", "price": 1}]})).await;
    let refused = shelf.seller.post(&path, &twin).send().await.refused(422, "invalid_fields");
    assert_eq!(refused.errors(), ["/name taken"]);
    let options =
        edit(app, json!({"name": "배", "options": [{"name": "a", "price": 1}, {"name": "a", "price": 2}]})).await;
    let refused = shelf.seller.post(&path, &options).send().await.refused(422, "invalid_fields");
    assert_eq!(refused.errors(), ["/options/1/name taken"]);
    let nowhere = json!({"name": "배", "category_id": shelf.store.id, "options": [{"name": "a", "price": 1}]});
    let refused = shelf.seller.post(&path, &nowhere).send().await.refused(422, "invalid_fields");
    assert_eq!(refused.errors(), ["/category_id unknown"]);
    app.shelf(1, 1).await;
}

/// The catalogue hears that a new item is in stock while others already change things around it.
async fn changes_do_not_wait_for_news_of_the_stock(app: &App) {
    let (seller, admin) = (app.seller().await, app.admin().await);
    let store = seller.open_store("하나").await;
    let parent = app.category().await;
    for n in 0..20 {
        let category = json!({"name": format!("분류 {n}"), "parent_id": parent});
        let category = admin.post("/v1/categories", &category).send().await.expect(201).value()["id"].clone();
        let options = json!([{"name": "a", "price": 1, "stock": 1}]);
        let body = json!({"name": format!("물건 {n}"), "category_id": category, "options": options});
        seller.create_item(store.id, &body).await;
        let (twin, removed) =
            tokio::join!(async { seller.post(&format!("/v1/stores/{}/items", store.id), &body).send().await }, async {
                admin.delete(&format!("/v1/categories/{}", category.as_str().expect("id"))).send().await
            },);
        twin.refused(422, "invalid_fields");
        removed.expect(204);
    }
}

async fn an_item_shows_what_can_be_bought(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    app.buyer().await.hold("a", &shelf, 3).await;
    let path = format!("/v1/items/{}", shelf.item.id);
    let shown = app.anon().get(&path).send().await.expect(200).value();
    let option = json!({"id": shelf.option, "name": "3 kg", "price": 1_000, "available": 4});
    assert_eq!(shown["options"], json!([option]));
    assert_eq!((&shown["store_id"], shown.get("degraded")), (&json!(shelf.store.id), None));
}

async fn creating_again_with_the_same_key_creates_nothing(app: &App) {
    let seller = app.seller().await;
    let store = seller.open_store("장터상회").await;
    let body = edit(app, json!({"name": "배", "options": [{"name": "a", "price": 1, "stock": 5}]})).await;
    let create = seller.post(&format!("/v1/stores/{}/items", store.id), &body).key("k");
    let first = create.send().await.expect(201);
    let again = create.send().await.expect(201);
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    let other = seller.open_store("둘째 상회").await;
    let elsewhere = seller.post(&format!("/v1/stores/{}/items", other.id), &body).key("k");
    elsewhere.send().await.refused(422, "idempotency_key_reused");
    app.settle().await;
    assert_eq!(seller.stock(first.get::<Item>().options[0].id).await.supplied, 5);
}

/// Names on the shelf, page by page.
async fn names(app: &App, query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = app.anon().get(&format!("/v1/items?{query}{cursor}")).send().await.expect(200);
        let page: Page<ItemSummary> = reply.get();
        names.extend(page.items.into_iter().map(|item| item.name));
        match reply.value()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

async fn the_shelf_is_filtered(app: &App) {
    let admin = app.admin().await;
    let category = async |name: &str, parent: Value| {
        let body = json!({"name": name, "parent_id": parent});
        admin.post("/v1/categories", &body).send().await.expect(201).value()["id"].clone()
    };
    let fruit = category("과일 나라", Value::Null).await;
    let apple = category("사과", fruit.clone()).await;
    let fish = category("생선", Value::Null).await;
    let (seller, other) = (app.seller().await, app.seller().await);
    let (one, two) = (seller.open_store("하나").await, other.open_store("둘").await);
    for (who, store, name, category, price, stock) in [
        (&seller, one.id, "부사", &apple, 1_000, 5),
        (&seller, one.id, "홍옥", &apple, 3_000, 0),
        (&other, two.id, "배", &fruit, 2_000, 1),
        (&other, two.id, "고등어", &fish, 5_000, 5),
    ] {
        let body =
            json!({"name": name, "category_id": category, "options": [{"name": "a", "price": price, "stock": stock}]});
        who.create_item(store, &body).await;
        app.advance(Duration::from_millis(10));
    }
    app.settle().await;
    let since = app.now();
    let late = json!({"name": "갈치", "category_id": fish, "options": [{"name": "a", "price": 9_000, "stock": 1}]});
    other.create_item(two.id, &late).await;
    app.settle().await;
    let id = |value: &Value| value.as_str().expect("id").to_owned();
    for (query, expected) in [
        (String::new(), vec!["갈치", "고등어", "배", "홍옥", "부사"]),
        (format!("category={}", id(&fruit)), vec!["배", "홍옥", "부사"]),
        (format!("category={}", id(&apple)), vec!["홍옥", "부사"]),
        (format!("category={}", one.id), vec![]),
        (format!("store={}", one.id), vec!["홍옥", "부사"]),
        ("price_min=2000&price_max=5000".into(), vec!["고등어", "배", "홍옥"]),
        ("in_stock=true".into(), vec!["갈치", "고등어", "배", "부사"]),
        (format!("in_stock=true&category={}&price_max=1500", id(&fruit)), vec!["부사"]),
        (format!("since={since}"), vec!["갈치"]),
    ] {
        assert_eq!(names(app, &query).await, expected, "{query}");
    }
}

async fn the_shelf_is_sorted_and_paged(app: &App) {
    let seller = app.seller().await;
    let store = seller.open_store("하나").await;
    let buyer = app.rich_buyer(100_000).await;
    for (n, (price, sold)) in [(300, 2), (100, 0), (200, 3), (100, 1), (300, 2)].into_iter().enumerate() {
        let option = json!({"name": "a", "price": price, "stock": 9});
        let body = edit(app, json!({"name": format!("item {n}"), "options": [option]})).await;
        let item = seller.create_item(store.id, &body).await;
        app.settle().await;
        if sold > 0 {
            let line = [crate::actor::Line::of(item.options[0].id, sold)];
            let placed = buyer.order(&format!("k{n}"), &line, sold * price).send().await.expect(201);
            let order = placed.get::<contract::order::Placed>().order_id;
            buyer.payment(&format!("p{n}"), order).send().await.expect(200);
        }
        app.advance(Duration::from_millis(10));
    }
    app.settle().await;
    for (sort, expected) in [
        ("newest", [4, 3, 2, 1, 0]),
        ("popular", [2, 4, 0, 3, 1]),
        ("price_up", [1, 3, 2, 0, 4]),
        ("price_down", [4, 0, 2, 3, 1]),
    ] {
        let whole = names(app, &format!("sort={sort}&size=100")).await;
        let sorted: Vec<i64> = match sort {
            "newest" => vec![],
            "popular" => vec![3, 2, 2, 1, 0],
            "price_up" => vec![100, 100, 200, 300, 300],
            _ => vec![300, 300, 200, 100, 100],
        };
        let reply = app.anon().get(&format!("/v1/items?sort={sort}&size=100")).send().await.expect(200);
        let items = reply.get::<Page<ItemSummary>>().items;
        let key = |item: &ItemSummary| if sort == "popular" { item.sold } else { item.price };
        if !sorted.is_empty() {
            assert_eq!(items.iter().map(key).collect::<Vec<_>>(), sorted, "{sort}");
        }
        for size in 1..=5 {
            assert_eq!(names(app, &format!("sort={sort}&size={size}")).await, whole, "{sort} by {size}");
        }
        if sort == "newest" {
            assert_eq!(whole, expected.map(|n| format!("item {n}")));
        }
        assert_eq!(whole.len(), expected.len());
    }
}

async fn a_cursor_belongs_to_its_list(app: &App) {
    app.shelf(1, 1).await;
    app.shelf(2, 2).await;
    let first = app.anon().get("/v1/items?size=1&sort=price_up").send().await.expect(200).value();
    let cursor = first["next"].as_str().expect("more");
    let with = async |path: &str, cursor: &str| {
        app.anon().get(&format!("{path}cursor={cursor}")).send().await.refused(400, "bad_cursor");
    };
    with("/v1/items?sort=newest&", cursor).await;
    with("/v1/stores?", cursor).await;
    with("/v1/sales?", cursor).await;
    for garbage in ["", "x", "bm9uc2Vuc2U", "%00", "..%2F..", &"x".repeat(600)] {
        with("/v1/items?", garbage).await;
    }
}

async fn own_items_are_listed_whole(app: &App) {
    let shelf = app.shelf(7, 1_000).await;
    let path = format!("/v1/stores/{}/items", shelf.store.id);
    for (name, extra) in [("가지", json!({"hidden": true})), ("나물", json!({"on_sale": false})), ("다래", json!({}))]
    {
        let mut body = edit(app, json!({"name": name, "options": [{"name": "a", "price": 1}]})).await;
        body.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
        shelf.seller.create_item(shelf.store.id, &body).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = shelf.seller.get(&format!("{path}?size=2{cursor}")).send().await.expect(200);
        seen.extend(reply.get::<Page<Item>>().items.into_iter().map(|item| item.name));
        match reply.value()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["가지", "나물", "다래", "햇사과"]);
}
