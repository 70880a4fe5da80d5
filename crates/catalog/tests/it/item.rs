use contract::catalog::*;
use kit::Code;
use kit::id::OptionId;

use crate::world::*;

#[tokio::test]
async fn an_item_is_shown_as_it_was_written() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let limited = OptionBody { limit_per_member: Some(2), limit_days: Some(7), ..option(" M ", 2_000, 5) };
        let item = w.item(store.id, body(" 햇사과 ", category, vec![option("S", 1_000, 0), limited])).await;
        assert_eq!((item.name.as_str(), item.version, item.seller_id), ("햇사과", 1, w.seller));
        assert_eq!(item.options[1].name, "M");
        assert_eq!((item.options[1].limit_per_member, item.options[1].limit_days), (Some(2), Some(7)));
        let shown = w.catalog.item(&w.ctx, GetItem { item: item.id, viewer: None }).await.expect("item");
        assert_eq!(shown, item);
        let missing = GetItem { item: unknown_category().0.into(), viewer: None };
        assert_eq!(code(w.catalog.item(&w.ctx, missing).await), Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_and_leaves_nothing() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let good = || body("apple", category, vec![option("S", 1, 1)]);
        w.item(store.id, good()).await;
        assert_eq!(wrong_field(w.try_item(store.id, good()).await), ("/name".into(), "taken".into()));
        let refused = async |body: ItemBody| wrong_field(w.try_item(store.id, body).await);
        let lost = ItemBody { category_id: unknown_category(), name: "x".into(), ..good() };
        assert_eq!(refused(lost).await, ("/category_id".into(), "unknown".into()));
        let nul = ItemBody { description: "a\0b".into(), name: "x".into(), ..good() };
        assert_eq!(refused(nul).await.0, "/description");
        let twice = ItemBody { name: "x".into(), options: vec![option("S", 1, 1), option("S", 2, 1)], ..good() };
        assert_eq!(refused(twice).await, ("/options/1/name".into(), "taken".into()));
        let named = OptionBody { id: Some(OptionId(unknown_category().0)), ..option("S", 1, 1) };
        let foreign = ItemBody { name: "x".into(), options: vec![named], ..good() };
        assert_eq!(refused(foreign).await, ("/options/0/id".into(), "unknown".into()));
        assert_eq!(refused(ItemBody { name: "x".into(), options: vec![], ..good() }).await.0, "/options");

        let stranger = CreateItem { seller: member(), store: store.id, key: None, body: good() };
        assert_eq!(code(w.catalog.create_item(&w.ctx, stranger).await), Code::NotFound);
        // Another store may use the name.
        let second = w.store("t").await;
        w.item(second.id, good()).await;
        w.catalog.close_store(&w.ctx, OwnStore { seller: w.seller, store: second.id }).await.expect("closed");
        let late = ItemBody { name: "late".into(), ..good() };
        assert_eq!(code(w.try_item(second.id, late).await), Code::StoreClosed);
        assert_eq!(w.walk(ListItems::default()).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn one_key_used_at_once_makes_one_item() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let request = || CreateItem {
            seller: w.seller,
            store: store.id,
            key: key("same"),
            body: body("apple", category, vec![option("S", 1, 1)]),
        };
        let outcomes = futures_util::future::join_all((0..8).map(|_| w.catalog.create_item(&w.ctx, request()))).await;
        assert_eq!(outcomes.iter().flatten().filter(|once| !once.replayed).count(), 1);
        for fault in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(fault.code, Code::IdempotencyInProgress);
        }
        let again = w.catalog.create_item(&w.ctx, request()).await.expect("replayed");
        assert!(again.replayed);
        assert_eq!(w.told().await.len(), 1, "one event for one item");
        let elsewhere = w.store("t").await;
        let other = CreateItem { store: elsewhere.id, ..request() };
        assert_eq!(code(w.catalog.create_item(&w.ctx, other).await), Code::IdempotencyKeyReused);
    })
    .await;
}

#[tokio::test]
async fn editing_keeps_option_ids_and_withdraws_what_is_left_out() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("apple", category, vec![option("S", 300, 1), option("M", 200, 1)])).await;
        let mut options = same_options(&item);
        options.remove(1);
        options[0].price = 500;
        options.push(option("L", 900, 4));
        let edited = w.update(&item, Some(1), body("pear", category, options)).await.expect("edited");
        assert_eq!((edited.version, edited.options.len(), edited.options[0].id), (2, 2, item.options[0].id));
        let shown = w.catalog.item(&w.ctx, GetItem { item: item.id, viewer: None }).await.expect("item");
        assert_eq!(shown, edited);
        assert_eq!(w.walk(ListItems::default()).await[0].price, 500);

        let told = w.told().await;
        let last = told.last().expect("told");
        assert_eq!((last.version, last.item_name.as_str(), last.on_sale), (2, "pear", true));
        let offered: Vec<_> =
            last.options.iter().map(|o| (o.name.as_str(), o.price, o.initial_stock, o.withdrawn)).collect();
        assert_eq!(offered, [("S", 500, 1, false), ("L", 900, 4, false), ("M", 200, 1, true)]);
    })
    .await;
}

#[tokio::test]
async fn edits_that_are_wrong_change_nothing() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("apple", category, vec![option("S", 300, 1)])).await;
        w.item(store.id, body("pear", category, vec![option("S", 300, 1)])).await;
        let good = || body("apple", category, same_options(&item));
        let refused = async |body: ItemBody| wrong_field(w.update(&item, None, body).await);

        let mut options = same_options(&item);
        options.push(OptionBody { id: Some(OptionId(unknown_category().0)), ..option("X", 1, 0) });
        assert_eq!(refused(ItemBody { options, ..good() }).await, ("/options/1/id".into(), "unknown".into()));
        let mut options = same_options(&item);
        options[0].stock = 7;
        let stock = ("/options/0/stock".to_owned(), "not_changed_here".to_owned());
        assert_eq!(refused(ItemBody { options, ..good() }).await, stock);
        assert_eq!(refused(ItemBody { name: "pear".into(), ..good() }).await, ("/name".into(), "taken".into()));
        let lost = ItemBody { category_id: unknown_category(), ..good() };
        assert_eq!(refused(lost).await, ("/category_id".into(), "unknown".into()));
        assert_eq!(code(w.update(&item, Some(9), good()).await), Code::Stale);

        let stranger = UpdateItem { seller: member(), item: item.id, version: None, body: good() };
        assert_eq!(code(w.catalog.update_item(&w.ctx, stranger).await), Code::NotFound);
        let shown = w.catalog.item(&w.ctx, GetItem { item: item.id, viewer: None }).await.expect("item");
        assert_eq!(shown, item);
        assert_eq!(w.told().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn of_edits_from_one_version_one_wins() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("apple", category, vec![option("S", 300, 1)])).await;
        let edit = |n: i64| {
            let mut options = same_options(&item);
            options[0].price = n;
            w.update(&item, Some(1), body("apple", category, options))
        };
        let outcomes = futures_util::future::join_all((0..8).map(edit)).await;
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
        for fault in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(fault.code, Code::Stale);
        }
        // Without a version the last one counts, and every change has a version of its own.
        let outcomes = futures_util::future::join_all(
            (0..8).map(|_| w.update(&item, None, body("apple", category, same_options(&item)))),
        )
        .await;
        let mut versions: Vec<i64> = outcomes.into_iter().map(|o| o.expect("edited").version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (3..=10).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_hidden_item_is_shown_to_its_seller_only() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let hidden = ItemBody { hidden: true, ..body("apple", category, vec![option("S", 300, 1)]) };
        let item = w.item(store.id, hidden).await;
        let see = async |viewer| w.catalog.item(&w.ctx, GetItem { item: item.id, viewer }).await;
        assert_eq!(code(see(None).await), Code::NotFound);
        assert_eq!(code(see(Some(member())).await), Code::NotFound);
        assert!(see(Some(w.seller)).await.expect("own").hidden);
        assert!(w.walk(ListItems::default()).await.is_empty());
        assert!(!w.told().await[0].on_sale);
        let shown = w.update(&item, None, body("apple", category, same_options(&item))).await.expect("shown");
        assert!(!shown.hidden);
        assert_eq!(w.walk(ListItems::default()).await.len(), 1);
        let resting = ItemBody { on_sale: false, ..body("apple", category, same_options(&item)) };
        w.update(&item, None, resting).await.expect("off sale");
        assert!(w.walk(ListItems::default()).await.is_empty());
        assert!(!see(None).await.expect("readable by its address").on_sale);
        let told: Vec<bool> = w.told().await.iter().map(|offer| offer.on_sale).collect();
        assert_eq!(told, [false, true, false]);
    })
    .await;
}

#[tokio::test]
async fn a_seller_sees_all_of_the_own_store() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let mut items = Vec::new();
        for name in ["나", "a", "\u{1f34e}".repeat(100).as_str(), "b", "Z", "가"] {
            items.push(w.item(store.id, body(name, category, vec![option("S", 1, 1), option("M", 2, 1)])).await);
        }
        let hidden = ItemBody { hidden: true, on_sale: false, ..body("hidden", category, vec![option("S", 1, 1)]) };
        items.push(w.item(store.id, hidden).await);
        w.item(w.store("other").await.id, body("elsewhere", category, vec![option("S", 1, 1)])).await;
        let mut seen = Vec::new();
        let mut query = OwnItemsQuery { cursor: None, size: Some(2) };
        loop {
            let request = ListOwnItems { seller: w.seller, store: store.id, query: query.clone() };
            let page = w.catalog.list_own_items(&w.ctx, request).await.expect("page");
            seen.extend(page.items);
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        seen.sort_by_key(|item| item.id);
        assert_eq!(seen, items);
        let foreign = ListOwnItems { seller: member(), store: store.id, query: OwnItemsQuery::default() };
        assert_eq!(code(w.catalog.list_own_items(&w.ctx, foreign).await), Code::NotFound);
    })
    .await;
}
