use std::collections::HashSet;

use contract::catalog::*;
use kit::id::{CategoryId, ItemId, StoreId};
use kit::{Code, Millis};

use crate::world::*;

const SORTS: [ItemSort; 4] = [ItemSort::Newest, ItemSort::Popular, ItemSort::PriceUp, ItemSort::PriceDown];

/// What the list must answer, computed the slow way.
fn expected(all: &[ItemSummary], sort: ItemSort, keep: impl Fn(&ItemSummary) -> bool) -> Vec<ItemId> {
    let mut some: Vec<&ItemSummary> = all.iter().filter(|item| keep(item)).collect();
    some.sort_by_key(|item| match sort {
        ItemSort::Newest => (item.created_at.0, item.id),
        ItemSort::Popular => (item.sold, item.id),
        ItemSort::PriceUp | ItemSort::PriceDown => (item.price, item.id),
    });
    if sort != ItemSort::PriceUp {
        some.reverse();
    }
    some.into_iter().map(|item| item.id).collect()
}

fn ids(items: &[ItemSummary]) -> Vec<ItemId> {
    items.iter().map(|item| item.id).collect()
}

/// Numbers that look random and are the same in every run.
fn dice(state: &mut u64, sides: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

/// Two stores, a root with `leaves` categories below it and one beside, 90 items with few different prices.
async fn fill(w: &World, leaves: usize) -> (Vec<StoreId>, Vec<CategoryId>, CategoryId) {
    let root = w.category("root", None).await;
    let mut categories = vec![w.category("beside", None).await, root];
    for n in 0..leaves {
        categories.push(w.category(&format!("leaf {n}"), Some(root)).await);
    }
    let stores = vec![w.store("one").await.id, w.store("two").await.id];
    let mut state = 7;
    for n in 0..90 {
        let category = categories[dice(&mut state, categories.len() as u64) as usize];
        let store = stores[dice(&mut state, 2) as usize];
        let price = dice(&mut state, 4) as i64 * 1_000;
        let stock = dice(&mut state, 2) as i64;
        w.item(store, body(&format!("item {n}"), category, vec![option("o", price, stock)])).await;
    }
    (stores, categories, root)
}

#[tokio::test]
async fn filters_and_sorts_answer_as_the_slow_way_does() {
    // Few categories are merged from ranges, many are left out of a walk: both must answer alike.
    for leaves in [5, 40] {
        on_each_database(async |w| {
            let (stores, categories, root) = fill(w, leaves).await;
            let all = w.walk(ListItems { size: Some(100), ..Default::default() }).await;
            assert_eq!(all.len(), 90);
            let since = all[40].created_at;
            for sort in SORTS {
                let check = async |query: ListItems, keep: &dyn Fn(&ItemSummary) -> bool| {
                    let found = w.walk(ListItems { sort, size: Some(7), ..query.clone() }).await;
                    assert_eq!(ids(&found), expected(&all, sort, keep), "{sort:?} {query:?}");
                };
                check(ListItems::default(), &|_| true).await;
                let store = ListItems { store: Some(stores[0]), ..Default::default() };
                check(store.clone(), &|i| i.store_id == stores[0]).await;
                let below = ListItems { category: Some(root), ..Default::default() };
                check(below.clone(), &|i| i.category_id != categories[0]).await;
                let leaf = ListItems { category: Some(categories[2]), ..Default::default() };
                check(leaf, &|i| i.category_id == categories[2]).await;
                let both = ListItems { store: Some(stores[1]), ..below.clone() };
                check(both, &|i| i.store_id == stores[1] && i.category_id != categories[0]).await;
                let cheap = ListItems { price_max: Some(1_000), ..Default::default() };
                check(cheap.clone(), &|i| i.price <= 1_000).await;
                let middle = ListItems { price_min: Some(1_000), price_max: Some(2_000), ..below };
                check(middle, &|i| i.category_id != categories[0] && (1_000..=2_000).contains(&i.price)).await;
                check(ListItems { in_stock: true, ..cheap }, &|i| i.in_stock && i.price <= 1_000).await;
                check(ListItems { since: Some(since), ..store }, &|i| i.store_id == stores[0] && i.created_at >= since)
                    .await;
                let none = ListItems { category: Some(unknown_category()), ..Default::default() };
                check(none, &|_| false).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn pages_lose_and_repeat_nothing_while_items_arrive() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let add = async |name: String| w.item(store.id, body(&name, category, vec![option("o", 500, 1)])).await.id;
        // All keys are equal but for the time, and that of many is.
        let mut before = HashSet::new();
        for n in 0..60 {
            before.insert(add(format!("first {n}")).await);
        }
        for (round, sort) in SORTS.into_iter().enumerate() {
            let query = ListItems { sort, category: Some(category), size: Some(7), ..Default::default() };
            let writer = async {
                for n in 0..40 {
                    add(format!("round {round} item {n}")).await;
                }
            };
            let (seen, ()) = tokio::join!(w.walk(query), writer);
            let distinct: HashSet<ItemId> = seen.iter().map(|item| item.id).collect();
            assert_eq!(distinct.len(), seen.len(), "{sort:?} repeats");
            assert!(before.is_subset(&distinct), "{sort:?} loses");
            before = w.walk(ListItems { size: Some(100), ..Default::default() }).await.iter().map(|i| i.id).collect();
        }
    })
    .await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_sort() {
    on_each_database(async |w| {
        fill(w, 1).await;
        let first = ListItems { size: Some(1), ..Default::default() };
        let cursor = w.catalog.list_items(&w.ctx, first).await.expect("page").next;
        let other = ListItems { sort: ItemSort::PriceUp, cursor, ..Default::default() };
        assert_eq!(code(w.catalog.list_items(&w.ctx, other).await), Code::BadCursor);
        let garbage = ListItems { cursor: Some(kit::Cursor::new(&"x")), ..Default::default() };
        assert_eq!(code(w.catalog.list_items(&w.ctx, garbage).await), Code::BadCursor);
        let wide = ListItems { size: Some(101), ..Default::default() };
        assert_eq!(wrong_field(w.catalog.list_items(&w.ctx, wide).await).0, "/size");
        let none = ListItems { since: Some(Millis::MAX), ..Default::default() };
        assert!(w.walk(none).await.is_empty());
    })
    .await;
}
