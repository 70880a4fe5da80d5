//! The category tree.

use contract::catalog::Category;
use kit::id::CategoryId;
use serde_json::{Value, json};

use crate::app::App;

every_column!(a_tree_is_kept, a_removed_category_leaves_its_items_to_its_parent, what_would_break_the_tree_is_refused,);

async fn create(app: &App, name: &str, parent: Option<CategoryId>) -> Category {
    let body = json!({"name": name, "parent_id": parent});
    app.admin().await.post("/v1/categories", &body).send().await.expect(201).get()
}

async fn tree(app: &App) -> Vec<Category> {
    let reply = app.anon().get("/v1/categories").send().await.expect(200).value();
    serde_json::from_value(reply["items"].clone()).expect("categories")
}

async fn a_tree_is_kept(app: &App) {
    let fruit = create(app, "과일", None).await;
    let apple = create(app, "사과", Some(fruit.id)).await;
    let fish = create(app, "생선", None).await;
    let path = format!("/v1/categories/{}", apple.id);
    let moved: Category =
        app.admin().await.put(&path, &json!({"name": "부사", "parent_id": fish.id})).send().await.expect(200).get();
    assert_eq!((moved.name.as_str(), moved.parent_id), ("부사", Some(fish.id)));
    let listed = tree(app).await;
    assert_eq!(listed.len(), 3);
    for category in &listed {
        let before = listed.iter().position(|known| Some(known.id) == category.parent_id);
        let at = listed.iter().position(|known| known.id == category.id);
        assert!(category.parent_id.is_none() || before < at, "parents come first");
    }
}

async fn a_removed_category_leaves_its_items_to_its_parent(app: &App) {
    let fruit = create(app, "과일", None).await;
    let apple = create(app, "사과", Some(fruit.id)).await;
    let seller = app.seller().await;
    let store = seller.open_store("하나").await;
    let body = json!({"name": "부사", "category_id": apple.id, "options": [{"name": "a", "price": 1, "stock": 1}]});
    let item = seller.create_item(store.id, &body).await;
    let red = create(app, "빨간 사과", Some(apple.id)).await;
    let admin = app.admin().await;
    admin.delete(&format!("/v1/categories/{}", apple.id)).send().await.expect(204);
    admin.delete(&format!("/v1/categories/{}", apple.id)).send().await.refused(404, "not_found");
    let shown = app.anon().get(&format!("/v1/items/{}", item.id)).send().await.expect(200).value();
    assert_eq!(shown["category_id"], json!(fruit.id));
    let red = tree(app).await.into_iter().find(|category| category.id == red.id).expect("still there");
    assert_eq!(red.parent_id, Some(fruit.id));
    let root = admin.delete(&format!("/v1/categories/{}", fruit.id)).send().await;
    root.refused(409, "category_not_empty");
    app.settle().await;
}

async fn what_would_break_the_tree_is_refused(app: &App) {
    let fruit = create(app, "과일", None).await;
    let apple = create(app, "사과", Some(fruit.id)).await;
    let admin = app.admin().await;
    let refused = async |body: Value, error: &str| {
        let reply = admin.post("/v1/categories", &body).send().await.refused(422, "invalid_fields");
        assert_eq!(reply.errors(), [error]);
    };
    refused(json!({"name": "과일"}), "/name taken").await;
    refused(json!({"name": "사과", "parent_id": fruit.id}), "/name taken").await;
    refused(json!({"name": "배", "parent_id": kit::Ids::next(&kit::SystemIds)}), "/parent_id unknown").await;
    let body = json!({"name": "과일", "parent_id": apple.id});
    let cycle = admin.put(&format!("/v1/categories/{}", fruit.id), &body).send().await.refused(422, "invalid_fields");
    assert_eq!(cycle.errors(), ["/parent_id cycle"]);
    let itself = json!({"name": "과일", "parent_id": fruit.id});
    let cycle = admin.put(&format!("/v1/categories/{}", fruit.id), &itself).send().await.refused(422, "invalid_fields");
    assert_eq!(cycle.errors(), ["/parent_id cycle"]);
    create(app, "사과", None).await;
}
