use contract::catalog::*;
use kit::Code;

use crate::world::*;

fn body(name: &str) -> StoreBody {
    StoreBody { name: name.into(), description: "d".into() }
}

#[tokio::test]
async fn a_name_belongs_to_one_store() {
    on_each_database(async |w| {
        let store = w.store("  Apple House ").await;
        assert_eq!(store.name, "Apple House");
        for name in ["Apple House", "apple house", " APPLE HOUSE"] {
            let request = OpenStore { seller: member(), key: None, body: body(name) };
            let outcome = w.catalog.open_store(&w.ctx, request).await;
            assert_eq!(wrong_field(outcome), ("/name".into(), "taken".into()), "{name}");
        }
        let other = w.store("Pear House").await;
        let request = UpdateStore { seller: w.seller, store: other.id, body: body("apple HOUSE") };
        let outcome = w.catalog.update_store(&w.ctx, request).await;
        assert_eq!(wrong_field(outcome), ("/name".into(), "taken".into()));
        // Its own name in other letters is free to it.
        let request = UpdateStore { seller: w.seller, store: store.id, body: body("APPLE house") };
        assert_eq!(w.catalog.update_store(&w.ctx, request).await.expect("renamed").name, "APPLE house");
        assert_eq!(w.catalog.store(&w.ctx, store.id).await.expect("store").description, "d");
    })
    .await;
}

#[tokio::test]
async fn many_who_open_the_same_name_get_one_store() {
    on_each_database(async |w| {
        let open = |_| {
            let request = OpenStore { seller: member(), key: None, body: body("same") };
            w.catalog.open_store(&w.ctx, request)
        };
        let outcomes = futures_util::future::join_all((0..8).map(open)).await;
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
        for outcome in outcomes.into_iter().filter(|o| o.is_err()) {
            assert_eq!(wrong_field(outcome).1, "taken");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_opens_one_store() {
    on_each_database(async |w| {
        let request = |name| OpenStore { seller: w.seller, key: key("k1"), body: body(name) };
        let first = w.catalog.open_store(&w.ctx, request("one")).await.expect("opened");
        let again = w.catalog.open_store(&w.ctx, request("one")).await.expect("replayed");
        assert_eq!((again.replayed, again.answer.id), (true, first.answer.id));
        assert_eq!(code(w.catalog.open_store(&w.ctx, request("two")).await), Code::IdempotencyKeyReused);
        // Somebody else's key is another key.
        let request = OpenStore { seller: member(), ..request("three") };
        assert!(!w.catalog.open_store(&w.ctx, request).await.expect("opened").replayed);
        // A refused request leaves no record.
        let taken = OpenStore { seller: w.seller, key: key("k2"), body: body("one") };
        assert_eq!(wrong_field(w.catalog.open_store(&w.ctx, taken.clone()).await).1, "taken");
        let free = OpenStore { body: body("four"), ..taken };
        assert!(w.catalog.open_store(&w.ctx, free).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn one_key_used_at_once_has_one_effect() {
    on_each_database(async |w| {
        let request = || OpenStore { seller: w.seller, key: key("same"), body: body("one") };
        let outcomes = futures_util::future::join_all((0..8).map(|_| w.catalog.open_store(&w.ctx, request()))).await;
        assert_eq!(outcomes.iter().flatten().filter(|once| !once.replayed).count(), 1);
        for fault in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(fault.code, Code::IdempotencyInProgress);
        }
    })
    .await;
}

#[tokio::test]
async fn another_sellers_store_is_not_there() {
    on_each_database(async |w| {
        let store = w.store("mine").await;
        let stranger = member();
        let update = UpdateStore { seller: stranger, store: store.id, body: body("theirs") };
        assert_eq!(code(w.catalog.update_store(&w.ctx, update).await), Code::NotFound);
        let close = OwnStore { seller: stranger, store: store.id };
        assert_eq!(code(w.catalog.close_store(&w.ctx, close).await), Code::NotFound);
        assert_eq!(w.catalog.store(&w.ctx, store.id).await.expect("store"), store);
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_stays_readable_but_not_writable() {
    on_each_database(async |w| {
        let store = w.store("mine").await;
        let own = OwnStore { seller: w.seller, store: store.id };
        w.catalog.close_store(&w.ctx, own).await.expect("closed");
        let closed = w.catalog.store(&w.ctx, store.id).await.expect("store");
        assert!(closed.closed_at.is_some());
        w.catalog.close_store(&w.ctx, own).await.expect("no error");
        assert_eq!(w.catalog.store(&w.ctx, store.id).await.expect("store"), closed);
        let update = UpdateStore { seller: w.seller, store: store.id, body: body("x") };
        assert_eq!(code(w.catalog.update_store(&w.ctx, update).await), Code::StoreClosed);
        assert!(w.catalog.list_stores(&w.ctx, ListStores::default()).await.expect("page").items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn stores_are_found_by_a_part_of_their_name() {
    on_each_database(async |w| {
        for name in ["장터상회", "서울 장터", "100% 과일", "under_score", "Überall"] {
            w.store(name).await;
        }
        let find = async |name: &str| -> Vec<String> {
            let query = ListStores { name: Some(name.into()), ..Default::default() };
            let page = w.catalog.list_stores(&w.ctx, query).await.expect("page");
            page.items.into_iter().map(|store| store.name).collect()
        };
        assert_eq!(find("장터").await, ["서울 장터", "장터상회"]);
        assert_eq!(find("%").await, ["100% 과일"]);
        assert_eq!(find("_").await, ["under_score"]);
        assert_eq!(find("ÜBER").await, ["Überall"]);
        assert!(find("!").await.is_empty());
        let own = ListStores { seller: Some(w.seller), ..Default::default() };
        assert_eq!(w.catalog.list_stores(&w.ctx, own).await.expect("page").items.len(), 5);
        let none = ListStores { seller: Some(member()), ..Default::default() };
        assert!(w.catalog.list_stores(&w.ctx, none).await.expect("page").items.is_empty());
        let nul = ListStores { name: Some("a\0".into()), ..Default::default() };
        assert_eq!(wrong_field(w.catalog.list_stores(&w.ctx, nul).await).0, "/name");
    })
    .await;
}

#[tokio::test]
async fn stores_are_paged_newest_first() {
    on_each_database(async |w| {
        let mut opened = Vec::new();
        for n in 0..7 {
            opened.push(w.store(&format!("store {n}")).await);
        }
        opened.sort_by_key(|store| std::cmp::Reverse((store.opened_at, store.id)));
        let mut seen = Vec::new();
        let mut query = ListStores { size: Some(3), ..Default::default() };
        loop {
            let page = w.catalog.list_stores(&w.ctx, query.clone()).await.expect("page");
            seen.extend(page.items);
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, opened);
    })
    .await;
}
