//! Limited sales.

use axum::extract::State;
use contract::order::{CreateSale, ListSales, Sale, SaleBody};
use kit::Page;
use kit::id::{SaleId, StoreId};

use crate::app::Shared;
use crate::auth::Seller;
use crate::call::Public;
use crate::input::{Ask, At, Json, Key, KeyHeader};
use crate::problem::Answer;
use crate::reply::{Created, Found};

/// Announce a sale
///
/// Units are taken from the shelf and set aside for it.
#[utoipa::path(post, path = "/v1/stores/{store_id}/sales", tag = "Sales", operation_id = "create_sale",
    params(("store_id" = StoreId, Path), KeyHeader), request_body = SaleBody,
    responses((status = 201, body = Sale, description = "Announced")), security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "stock_too_low"]))))]
pub(crate) async fn create(
    seller: Seller,
    At(store): At<StoreId>,
    Key(key): Key,
    State(app): State<Shared>,
    Json(body): Json<SaleBody>,
) -> Answer<Created<Sale>> {
    let once = app.order.create_sale(seller.ctx(), CreateSale { seller: seller.id, store, key, body }).await?;
    Ok(Created { at: format!("/v1/sales/{}", once.answer.id), once })
}

/// List sales
///
/// Those that have not ended, soonest first.
#[utoipa::path(get, path = "/v1/sales", tag = "Sales", operation_id = "list_sales", params(ListSales),
    responses((status = 200, body = Page<Sale>, description = "A page of sales")),
    extensions(("x-problems" = json!(["bad_cursor"]))))]
pub(crate) async fn list(
    public: Public,
    Ask(query): Ask<ListSales>,
    State(app): State<Shared>,
) -> Answer<Found<Page<Sale>>> {
    let query = ListSales { size: app.settings.page_size(query.size), ..query };
    Ok(Found(app.order.list_sales(public.ctx(), query).await?))
}

/// Read a sale
#[utoipa::path(get, path = "/v1/sales/{sale_id}", tag = "Sales", operation_id = "sale",
    params(("sale_id" = SaleId, Path)), responses((status = 200, body = Sale, description = "The sale")),
    extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn find(public: Public, At(sale): At<SaleId>, State(app): State<Shared>) -> Answer<Found<Sale>> {
    Ok(Found(app.order.sale(public.ctx(), sale).await?))
}
