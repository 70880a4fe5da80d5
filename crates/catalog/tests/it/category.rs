use contract::catalog::*;
use kit::Code;
use kit::id::CategoryId;

use crate::world::*;

fn named(name: &str, parent_id: Option<CategoryId>) -> CategoryBody {
    CategoryBody { name: name.into(), parent_id }
}

#[tokio::test]
async fn names_are_unique_among_siblings() {
    on_each_database(async |w| {
        let food = w.category("food", None).await;
        let taken = ("/name".to_owned(), "taken".to_owned());
        assert_eq!(wrong_field(w.catalog.create_category(&w.ctx, named("food", None)).await), taken);
        let fruit = w.category("fruit", Some(food)).await;
        assert_eq!(wrong_field(w.catalog.create_category(&w.ctx, named(" fruit ", Some(food))).await), taken);
        let other = w.category("fruit", Some(fruit)).await;
        let up = UpdateCategory { category: other, body: named("fruit", Some(food)) };
        assert_eq!(wrong_field(w.catalog.update_category(&w.ctx, up).await), taken);
        let lost = w.catalog.create_category(&w.ctx, named("x", Some(unknown_category()))).await;
        assert_eq!(wrong_field(lost), ("/parent_id".into(), "unknown".into()));
    })
    .await;
}

#[tokio::test]
async fn a_category_moves_but_never_below_itself() {
    on_each_database(async |w| {
        let a = w.category("a", None).await;
        let b = w.category("b", Some(a)).await;
        let c = w.category("c", Some(b)).await;
        let below = |category, parent| UpdateCategory { category, body: named("moved", parent) };
        for parent in [a, b, c] {
            let outcome = w.catalog.update_category(&w.ctx, below(a, Some(parent))).await;
            assert_eq!(wrong_field(outcome), ("/parent_id".into(), "cycle".into()));
        }
        let moved = w.catalog.update_category(&w.ctx, below(b, None)).await.expect("moved");
        assert_eq!((moved.name.as_str(), moved.parent_id), ("moved", None));
        assert_eq!(code(w.catalog.update_category(&w.ctx, below(unknown_category(), None)).await), Code::NotFound);
        let tree = w.catalog.list_categories(&w.ctx, ()).await.expect("tree");
        let shown: Vec<CategoryId> = tree.iter().map(|category| category.id).collect();
        assert_eq!(shown, [a, b, c], "parents before children, siblings by name");
    })
    .await;
}

#[tokio::test]
async fn two_moves_at_once_make_no_circle() {
    on_each_database(async |w| {
        let a = w.category("a", None).await;
        let b = w.category("b", None).await;
        let (one, two) = tokio::join!(
            w.catalog.update_category(&w.ctx, UpdateCategory { category: a, body: named("a", Some(b)) }),
            w.catalog.update_category(&w.ctx, UpdateCategory { category: b, body: named("b", Some(a)) }),
        );
        assert!(one.is_ok() != two.is_ok(), "exactly one of the two: {one:?} {two:?}");
    })
    .await;
}

#[tokio::test]
async fn a_removed_category_leaves_all_to_its_parent() {
    on_each_database(async |w| {
        let food = w.category("food", None).await;
        let fruit = w.category("fruit", Some(food)).await;
        let apples = w.category("apples", Some(fruit)).await;
        let store = w.store("s").await;
        let mut items = Vec::new();
        for n in 0..60 {
            items.push(w.item(store.id, body(&format!("i{n}"), fruit, vec![option("o", 1, 1)])).await);
        }
        w.catalog.remove_category(&w.ctx, fruit).await.expect("removed");
        let tree = w.catalog.list_categories(&w.ctx, ()).await.expect("tree");
        let shown: Vec<_> = tree.iter().map(|category| (category.id, category.parent_id)).collect();
        assert_eq!(shown, [(food, None), (apples, Some(food))]);
        let moved = w.catalog.item(&w.ctx, GetItem { item: items[59].id, viewer: None }).await.expect("item");
        assert_eq!((moved.category_id, moved.version), (food, 2));
        let told = w.told().await;
        assert_eq!(told.iter().filter(|offer| offer.version == 2).count(), items.len());

        assert_eq!(code(w.catalog.remove_category(&w.ctx, food).await), Code::CategoryNotEmpty);
        assert_eq!(code(w.catalog.remove_category(&w.ctx, fruit).await), Code::NotFound);
        w.catalog.remove_category(&w.ctx, apples).await.expect("an empty one");
    })
    .await;
}

#[tokio::test]
async fn children_that_would_clash_keep_their_parent() {
    on_each_database(async |w| {
        let food = w.category("food", None).await;
        let inner = w.category("inner", Some(food)).await;
        w.category("same", Some(food)).await;
        w.category("same", Some(inner)).await;
        assert_eq!(code(w.catalog.remove_category(&w.ctx, inner).await), Code::CategoryNotEmpty);
        assert_eq!(w.catalog.list_categories(&w.ctx, ()).await.expect("tree").len(), 4);
    })
    .await;
}
