//! Stores, and what was ordered of them.

use contract::catalog::Store;
use futures_util::future::join_all;
use kit::Page;
use serde_json::json;

use crate::app::App;

every_column!(
    a_store_is_opened_read_and_changed,
    a_name_belongs_to_one_store,
    opening_again_with_the_same_key_opens_nothing,
    stores_are_listed_by_name_and_seller,
    a_closed_store_sells_nothing_and_its_orders_live_on,
    nobody_touches_the_store_of_another,
);

async fn a_store_is_opened_read_and_changed(app: &App) {
    let seller = app.seller().await;
    let body = json!({"name": "  장터상회 ", "description": "시장에서 바로 보냅니다"});
    let reply = seller.post("/v1/stores", &body).send().await.expect(201);
    let store: Store = reply.get();
    assert_eq!(reply.header("location"), Some(format!("/v1/stores/{}", store.id).as_str()));
    assert_eq!((store.name.as_str(), store.seller_id, store.closed_at), ("장터상회", seller.id, None));
    let path = format!("/v1/stores/{}", store.id);
    assert_eq!(app.anon().get(&path).send().await.expect(200).get::<Store>(), store);
    let changed: Store = seller.put(&path, &json!({"name": "새 장터상회"})).send().await.expect(200).get();
    assert_eq!((changed.name.as_str(), changed.description.as_str()), ("새 장터상회", ""));
    assert_eq!(app.anon().get(&path).send().await.expect(200).get::<Store>(), changed);
}

async fn a_name_belongs_to_one_store(app: &App) {
    let (seller, other) = (app.seller().await, app.seller().await);
    seller.open_store("Apple House").await;
    for name in ["Apple House", " apple house ", "APPLE HOUSE"] {
        let refused = other.post("/v1/stores", &json!({"name": name})).send().await.refused(422, "invalid_fields");
        assert_eq!(refused.errors(), ["/name taken"]);
    }
    let own = other.open_store("Pear House").await;
    let rename = other.put(&format!("/v1/stores/{}", own.id), &json!({"name": "apple house"})).send().await;
    assert_eq!(rename.refused(422, "invalid_fields").errors(), ["/name taken"]);
    other.put(&format!("/v1/stores/{}", own.id), &json!({"name": "PEAR HOUSE"})).send().await.expect(200);
    let race =
        join_all((0..5).map(|_| async { seller.post("/v1/stores", &json!({"name": "Plum"})).send().await })).await;
    assert_eq!(race.iter().filter(|reply| reply.status == 201).count(), 1, "{race:?}");
}

async fn opening_again_with_the_same_key_opens_nothing(app: &App) {
    let seller = app.seller().await;
    let open = seller.post("/v1/stores", &json!({"name": "장터상회"})).key("k");
    let first = open.send().await.expect(201);
    let again = open.send().await.expect(201);
    assert!(again.is_replayed() && !first.is_replayed());
    assert_eq!(again.body, first.body);
    seller.post("/v1/stores", &json!({"name": "x"})).key("k").send().await.refused(422, "idempotency_key_reused");
    app.seller().await.post("/v1/stores", &json!({"name": "y"})).key("k").send().await.expect(201);
}

async fn stores_are_listed_by_name_and_seller(app: &App) {
    let (seller, other) = (app.seller().await, app.seller().await);
    let mut opened = Vec::new();
    for name in ["사과나라", "Apple World", "배나라", "apple corner", "감나라"] {
        opened.push(seller.open_store(name).await.name);
        app.advance(std::time::Duration::from_millis(5));
    }
    other.open_store("남의 나라").await;
    let names = async |query: &str| {
        let page: Page<Store> = app.anon().get(&format!("/v1/stores?{query}")).send().await.expect(200).get();
        page.items.into_iter().map(|store| store.name).collect::<Vec<_>>()
    };
    let newest_first: Vec<String> = opened.iter().rev().cloned().collect();
    assert_eq!(names(&format!("seller={}", seller.id)).await, newest_first);
    assert_eq!(names("name=APPLE").await, ["apple corner", "Apple World"]);
    assert_eq!(names("name=%EB%82%98%EB%9D%BC").await, ["남의 나라", "감나라", "배나라", "사과나라"]);
    assert!(names("name=%25").await.is_empty(), "a percent sign is a character, not a pattern");
    assert!(names("name=_").await.is_empty());
    let first = app.anon().get(&format!("/v1/stores?size=3&seller={}", seller.id)).send().await.expect(200).value();
    let next = first["next"].as_str().expect("another page");
    let rest = names(&format!("size=3&seller={}&cursor={next}", seller.id)).await;
    assert_eq!(rest, newest_first[3..]);
}

async fn a_closed_store_sells_nothing_and_its_orders_live_on(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.rich_buyer(10_000).await;
    let order = buyer.hold("a", &shelf, 1).await.order_id;
    let path = format!("/v1/stores/{}", shelf.store.id);
    shelf.seller.delete(&path).send().await.expect(204);
    shelf.seller.delete(&path).send().await.expect(204);
    app.settle().await;
    buyer.buy("b", &shelf, 1).await.refused(409, "not_on_sale");
    assert!(app.anon().get(&path).send().await.expect(200).get::<Store>().closed_at.is_some());
    shelf.seller.put(&path, &json!({"name": "x"})).send().await.refused(409, "store_closed");
    let item = json!({"name": "배", "category_id": app.category().await, "options": [{"name": "1", "price": 1}]});
    shelf.seller.post(&format!("{path}/items"), &item).send().await.refused(409, "store_closed");
    let shelves = app.anon().get("/v1/items").send().await.expect(200).value();
    assert_eq!(shelves["items"], json!([]));
    let stores = app.anon().get("/v1/stores").send().await.expect(200).value();
    assert_eq!(stores["items"], json!([]));
    buyer.payment("p", order).send().await.expect(200);
    shelf.seller.get(&format!("{path}/lines")).send().await.expect(200);
}

async fn nobody_touches_the_store_of_another(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let other = app.seller().await;
    let path = format!("/v1/stores/{}", shelf.store.id);
    other.put(&path, &json!({"name": "x"})).send().await.refused(404, "not_found");
    other.delete(&path).send().await.refused(404, "not_found");
    other.get(&format!("{path}/lines")).send().await.refused(404, "not_found");
    other.get(&format!("{path}/items")).send().await.refused(404, "not_found");
    assert_eq!(app.anon().get(&path).send().await.expect(200).get::<Store>(), shelf.store);
}
