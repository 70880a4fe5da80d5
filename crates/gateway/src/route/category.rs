//! The category tree: read by everybody, kept by operators.

use axum::extract::State;
use contract::catalog::{Category, CategoryBody, UpdateCategory};
use kit::id::CategoryId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::auth::Admin;
use crate::call::Public;
use crate::input::{At, Json};
use crate::problem::Answer;
use crate::reply::{Created, Found, Nothing};

/// The whole tree.
#[derive(Serialize, ToSchema)]
pub(crate) struct Categories {
    /// Parents before children.
    items: Vec<Category>,
}

/// List categories
#[utoipa::path(get, path = "/v1/categories", tag = "Categories", operation_id = "list_categories",
    responses((status = 200, body = Categories, description = "The whole tree, parents before children")))]
pub(crate) async fn list(public: Public, State(app): State<Shared>) -> Answer<Found<Categories>> {
    Ok(Found(Categories { items: app.catalog.list_categories(public.ctx(), ()).await? }))
}

/// Create a category
#[utoipa::path(post, path = "/v1/categories", tag = "Categories", operation_id = "create_category",
    request_body = CategoryBody, responses((status = 201, body = Category, description = "Created")),
    security(("token" = ["admin"])))]
pub(crate) async fn create(
    admin: Admin,
    State(app): State<Shared>,
    Json(body): Json<CategoryBody>,
) -> Answer<Created<Category>> {
    let category = app.catalog.create_category(admin.ctx(), body).await?;
    Ok(Created::now(format!("/v1/categories/{}", category.id), category))
}

/// Rename or move a category
#[utoipa::path(put, path = "/v1/categories/{category_id}", tag = "Categories", operation_id = "update_category",
    params(("category_id" = CategoryId, Path)), request_body = CategoryBody,
    responses((status = 200, body = Category, description = "As it is now")), security(("token" = ["admin"])),
    extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn update(
    admin: Admin,
    At(category): At<CategoryId>,
    State(app): State<Shared>,
    Json(body): Json<CategoryBody>,
) -> Answer<Found<Category>> {
    Ok(Found(app.catalog.update_category(admin.ctx(), UpdateCategory { category, body }).await?))
}

/// Remove a category
///
/// Its items and children move to its parent.
#[utoipa::path(delete, path = "/v1/categories/{category_id}", tag = "Categories", operation_id = "remove_category",
    params(("category_id" = CategoryId, Path)), responses((status = 204, description = "Removed")),
    security(("token" = ["admin"])), extensions(("x-problems" = json!(["not_found", "category_not_empty"]))))]
pub(crate) async fn remove(admin: Admin, At(category): At<CategoryId>, State(app): State<Shared>) -> Answer<Nothing> {
    app.catalog.remove_category(admin.ctx(), category).await?;
    Ok(Nothing)
}
