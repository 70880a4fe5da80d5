//! Items and their options. What can be bought of them is the order service's word, joined here.

use std::time::{Duration, Instant};

use ahash::HashMap;
use axum::extract::State;
use contract::catalog::{
    CreateItem, GetItem, Item, ItemBody, ItemOption, ItemSummary, ListItems, ListOwnItems, OwnItemsQuery, UpdateItem,
};
use kit::id::{CategoryId, ItemId, MemberId, OptionId, StoreId};
use kit::{Ctx, Millis, Page};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, Shared};
use crate::auth::{Seller, Viewer};
use crate::call::Public;
use crate::input::{Ask, At, IfMatch, Json, MaybeKey, MaybeKeyHeader};
use crate::live::OPTIONS_MAX;
use crate::problem::Answer;
use crate::reply::{Created, Found};

/// A page does not wait longer than this for the stock.
const STOCK_WITHIN: Duration = Duration::from_millis(500);

/// An item with what can be bought of it now.
#[derive(Serialize, ToSchema)]
pub(crate) struct ItemDetail {
    id: ItemId,
    store_id: StoreId,
    seller_id: MemberId,
    category_id: CategoryId,
    name: String,
    /// Markdown.
    description: String,
    on_sale: bool,
    hidden: bool,
    options: Vec<OptionDetail>,
    created_at: Millis,
    /// Grows with every change.
    version: i64,
    /// What could not be found out and is left out; `stock` when the stock cannot be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct OptionDetail {
    #[serde(flatten)]
    option: ItemOption,
    /// Units on the shelf; null when it is not known.
    available: Option<i64>,
}

/// Put an item into a store
///
/// Each option starts with its own stock.
#[utoipa::path(post, path = "/v1/stores/{store_id}/items", tag = "Items", operation_id = "create_item",
    params(("store_id" = StoreId, Path), MaybeKeyHeader), request_body = ItemBody,
    responses((status = 201, body = Item, description = "Created")), security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "store_closed"]))))]
pub(crate) async fn create(
    seller: Seller,
    At(store): At<StoreId>,
    MaybeKey(key): MaybeKey,
    State(app): State<Shared>,
    Json(body): Json<ItemBody>,
) -> Answer<Created<Item>> {
    let once = app.catalog.create_item(seller.ctx(), CreateItem { seller: seller.id, store, key, body }).await?;
    Ok(Created { at: format!("/v1/items/{}", once.answer.id), once })
}

/// List the items of an own store
///
/// By name, with hidden items and those off sale.
#[utoipa::path(get, path = "/v1/stores/{store_id}/items", tag = "Items", operation_id = "list_own_items",
    params(("store_id" = StoreId, Path), OwnItemsQuery),
    responses((status = 200, body = Page<Item>, description = "A page of items")), security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "bad_cursor"]))))]
pub(crate) async fn list_own(
    seller: Seller,
    At(store): At<StoreId>,
    Ask(query): Ask<OwnItemsQuery>,
    State(app): State<Shared>,
) -> Answer<Found<Page<Item>>> {
    let query = OwnItemsQuery { size: app.settings.page_size(query.size), ..query };
    let request = ListOwnItems { seller: seller.id, store, query };
    Ok(Found(app.catalog.list_own_items(seller.ctx(), request).await?))
}

/// List items
#[utoipa::path(get, path = "/v1/items", tag = "Items", operation_id = "list_items", params(ListItems),
    responses((status = 200, body = Page<ItemSummary>, description = "A page of the shelf")),
    extensions(("x-problems" = json!(["bad_cursor"]))))]
pub(crate) async fn list(
    public: Public,
    Ask(query): Ask<ListItems>,
    State(app): State<Shared>,
) -> Answer<Found<Page<ItemSummary>>> {
    let query = ListItems { size: app.settings.page_size(query.size), ..query };
    Ok(Found(app.catalog.list_items(public.ctx(), query).await?))
}

/// Read an item
///
/// With what can be bought of each option. A hidden item is only shown to its seller.
#[utoipa::path(get, path = "/v1/items/{item_id}", tag = "Items", operation_id = "item",
    params(("item_id" = ItemId, Path)), responses((status = 200, body = ItemDetail, description = "The item")),
    security((), ("token" = [])), extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn find(viewer: Viewer, At(item): At<ItemId>, State(app): State<Shared>) -> Answer<Found<ItemDetail>> {
    let item = app.catalog.item(viewer.ctx(), GetItem { item, viewer: viewer.id }).await?;
    let stock = stock(&app, viewer.ctx(), &item).await;
    Ok(Found(detail(item, stock)))
}

/// Change an item
///
/// Options keep their ids when given; those left out are withdrawn from sale. With `If-Match: "version"` the change is
/// refused when somebody else changed the item in the meantime.
#[utoipa::path(put, path = "/v1/items/{item_id}", tag = "Items", operation_id = "update_item",
    params(("item_id" = ItemId, Path),
        ("If-Match" = Option<String>, Header, description = "The version that was read, in quotes", example = "\"3\"")),
    request_body = ItemBody, responses((status = 200, body = Item, description = "As it is now")),
    security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "store_closed", "stale", "bad_header"]))))]
pub(crate) async fn update(
    seller: Seller,
    At(item): At<ItemId>,
    IfMatch(version): IfMatch,
    State(app): State<Shared>,
    Json(body): Json<ItemBody>,
) -> Answer<Found<Item>> {
    let change = UpdateItem { seller: seller.id, item, version, body };
    Ok(Found(app.catalog.update_item(seller.ctx(), change).await?))
}

/// Units on the shelf by option; `None` when the order service cannot be reached. The page is shown all the same.
async fn stock(app: &App, ctx: &Ctx, item: &Item) -> Option<HashMap<OptionId, i64>> {
    let soon = Instant::now() + STOCK_WITHIN;
    let ctx = Ctx { deadline: Some(ctx.deadline.map_or(soon, |deadline| deadline.min(soon))), ..ctx.clone() };
    let options: Vec<OptionId> = item.options.iter().map(|option| option.id).take(OPTIONS_MAX).collect();
    match app.order.availability(&ctx, options).await {
        Ok(state) => {
            let shelf = state.into_iter().filter(|availability| availability.sale_id.is_none());
            Some(shelf.map(|availability| (availability.option_id, availability.available)).collect())
        }
        Err(fault) => {
            tracing::warn!(item.id = %item.id, error = %fault, "an item is shown without its stock");
            None
        }
    }
}

fn detail(item: Item, stock: Option<HashMap<OptionId, i64>>) -> ItemDetail {
    let available = |id: OptionId| stock.as_ref().and_then(|stock| stock.get(&id).copied());
    let options = item.options.into_iter().map(|option| OptionDetail { available: available(option.id), option });
    ItemDetail {
        id: item.id,
        store_id: item.store_id,
        seller_id: item.seller_id,
        category_id: item.category_id,
        name: item.name,
        description: item.description,
        on_sale: item.on_sale,
        hidden: item.hidden,
        options: options.collect(),
        created_at: item.created_at,
        version: item.version,
        degraded: if stock.is_none() { vec!["stock"] } else { Vec::new() },
    }
}
