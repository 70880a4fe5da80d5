//! Stores, and what was ordered of them.

use axum::extract::State;
use contract::catalog::{ListStores, OpenStore, OwnStore, Store, StoreBody, UpdateStore};
use contract::order::{ListStoreLines, OrderQuery, StoreLine};
use kit::Page;
use kit::id::StoreId;

use crate::app::Shared;
use crate::auth::Seller;
use crate::call::Public;
use crate::input::{Ask, At, Json, MaybeKey, MaybeKeyHeader};
use crate::problem::Answer;
use crate::reply::{Created, Found, Nothing};

/// Open a store
#[utoipa::path(post, path = "/v1/stores", tag = "Stores", operation_id = "open_store", params(MaybeKeyHeader),
    request_body = StoreBody, responses((status = 201, body = Store, description = "Opened")),
    security(("token" = ["seller"])))]
pub(crate) async fn open(
    seller: Seller,
    MaybeKey(key): MaybeKey,
    State(app): State<Shared>,
    Json(body): Json<StoreBody>,
) -> Answer<Created<Store>> {
    let once = app.catalog.open_store(seller.ctx(), OpenStore { seller: seller.id, key, body }).await?;
    Ok(Created { at: format!("/v1/stores/{}", once.answer.id), once })
}

/// List stores
#[utoipa::path(get, path = "/v1/stores", tag = "Stores", operation_id = "list_stores", params(ListStores),
    responses((status = 200, body = Page<Store>, description = "A page of open stores")),
    extensions(("x-problems" = json!(["bad_cursor"]))))]
pub(crate) async fn list(
    public: Public,
    Ask(query): Ask<ListStores>,
    State(app): State<Shared>,
) -> Answer<Found<Page<Store>>> {
    let query = ListStores { size: app.settings.page_size(query.size), ..query };
    Ok(Found(app.catalog.list_stores(public.ctx(), query).await?))
}

/// Read a store
#[utoipa::path(get, path = "/v1/stores/{store_id}", tag = "Stores", operation_id = "store",
    params(("store_id" = StoreId, Path)), responses((status = 200, body = Store, description = "The store")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn find(public: Public, At(store): At<StoreId>, State(app): State<Shared>) -> Answer<Found<Store>> {
    Ok(Found(app.catalog.store(public.ctx(), store).await?))
}

/// Change a store
#[utoipa::path(put, path = "/v1/stores/{store_id}", tag = "Stores", operation_id = "update_store",
    params(("store_id" = StoreId, Path)), request_body = StoreBody,
    responses((status = 200, body = Store, description = "As it is now")), security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "store_closed"]))))]
pub(crate) async fn update(
    seller: Seller,
    At(store): At<StoreId>,
    State(app): State<Shared>,
    Json(body): Json<StoreBody>,
) -> Answer<Found<Store>> {
    let change = UpdateStore { seller: seller.id, store, body };
    Ok(Found(app.catalog.update_store(seller.ctx(), change).await?))
}

/// Close a store
///
/// Its items leave the shelves; orders live on.
#[utoipa::path(delete, path = "/v1/stores/{store_id}", tag = "Stores", operation_id = "close_store",
    params(("store_id" = StoreId, Path)), responses((status = 204, description = "Closed")),
    security(("token" = ["seller"])), extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn close(seller: Seller, At(store): At<StoreId>, State(app): State<Shared>) -> Answer<Nothing> {
    app.catalog.close_store(seller.ctx(), OwnStore { seller: seller.id, store }).await?;
    Ok(Nothing)
}

/// List what was ordered of a store
///
/// Newest first; says nothing about the buyers.
#[utoipa::path(get, path = "/v1/stores/{store_id}/lines", tag = "Orders", operation_id = "list_store_lines",
    params(("store_id" = StoreId, Path), OrderQuery),
    responses((status = 200, body = Page<StoreLine>, description = "A page of lines")),
    security(("token" = ["seller"])), extensions(("x-problems" = json!(["not_found", "bad_cursor"]))))]
pub(crate) async fn lines(
    seller: Seller,
    At(store): At<StoreId>,
    Ask(query): Ask<OrderQuery>,
    State(app): State<Shared>,
) -> Answer<Found<Page<StoreLine>>> {
    let query = OrderQuery { size: app.settings.page_size(query.size), ..query };
    let request = ListStoreLines { seller: seller.id, store, query };
    Ok(Found(app.order.list_store_lines(seller.ctx(), request).await?))
}
