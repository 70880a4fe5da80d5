//! Stock for its seller; availability for everybody, read once or live.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use contract::order::{
    Availability, ChangeStock, ChangeStockBody, ListStockEntries, OwnOption, Stock, StockEntry, StockQuery,
};
use garde::Validate;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use kit::id::OptionId;
use kit::{Code, Fault, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::Shared;
use crate::auth::Seller;
use crate::call::Public;
use crate::input::{Ask, At, Json, Key, KeyHeader};
use crate::live::OPTIONS_MAX;
use crate::problem::Answer;
use crate::reply::{Done, Found};

/// Read the stock of an option
#[utoipa::path(get, path = "/v1/options/{option_id}/stock", tag = "Stock", operation_id = "stock",
    params(("option_id" = OptionId, Path)), responses((status = 200, body = Stock, description = "The stock")),
    security(("token" = ["seller"])), extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn find(seller: Seller, At(option): At<OptionId>, State(app): State<Shared>) -> Answer<Found<Stock>> {
    Ok(Found(app.order.stock(seller.ctx(), OwnOption { seller: seller.id, option }).await?))
}

/// List changes of the stock of an option
///
/// Newest first, each with its cause and who made it.
#[utoipa::path(get, path = "/v1/options/{option_id}/stock/entries", tag = "Stock",
    operation_id = "list_stock_entries", params(("option_id" = OptionId, Path), StockQuery),
    responses((status = 200, body = Page<StockEntry>, description = "A page of changes")),
    security(("token" = ["seller"])), extensions(("x-problems" = json!(["not_found", "bad_cursor"]))))]
pub(crate) async fn entries(
    seller: Seller,
    At(option): At<OptionId>,
    Ask(query): Ask<StockQuery>,
    State(app): State<Shared>,
) -> Answer<Found<Page<StockEntry>>> {
    let query = StockQuery { size: app.settings.page_size(query.size), ..query };
    let request = ListStockEntries { seller: seller.id, option, query };
    Ok(Found(app.order.list_stock_entries(seller.ctx(), request).await?))
}

/// Change the stock of an option
///
/// By a difference, with a reason; never by overwriting.
#[utoipa::path(post, path = "/v1/options/{option_id}/stock/changes", tag = "Stock", operation_id = "change_stock",
    params(("option_id" = OptionId, Path), KeyHeader), request_body = ChangeStockBody,
    responses((status = 200, body = Stock, description = "As it is now")), security(("token" = ["seller"])),
    extensions(("x-problems" = json!(["not_found", "stock_too_low"]))))]
pub(crate) async fn change(
    seller: Seller,
    At(option): At<OptionId>,
    Key(key): Key,
    State(app): State<Shared>,
    Json(body): Json<ChangeStockBody>,
) -> Answer<Done<Stock>> {
    let change = ChangeStock { seller: seller.id, option, key, body };
    Ok(Done(app.order.change_stock(seller.ctx(), change).await?))
}

/// Which options to look at.
#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Options {
    /// Option ids with commas between, at most 100.
    #[garde(length(min = 1))]
    #[param(example = "0190b5a0-0000-7000-8000-000000000001,0190b5a0-0000-7000-8000-000000000002")]
    options: String,
}

impl Options {
    /// Errors: `bad_query`.
    fn ids(&self) -> Result<Vec<OptionId>, Fault> {
        let refused = |reason, detail| Fault { code: Code::BadQuery, ..Fault::field("/options", reason, detail) };
        if self.options.split(',').count() > OPTIONS_MAX {
            return Err(refused("invalid", format!("length is greater than {OPTIONS_MAX}")));
        }
        let ids = self.options.split(',').map(|id| id.trim().parse::<OptionId>());
        ids.collect::<Result<_, _>>().map_err(|_| refused("type", "expected option ids with commas between".into()))
    }
}

/// What can be bought now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Availabilities {
    /// Options that are not known are left out; one that is in a sale stands there once more for each sale.
    items: Vec<Availability>,
}

/// Read what can be bought now
#[utoipa::path(get, path = "/v1/availability", tag = "Availability", operation_id = "availability", params(Options),
    responses((status = 200, body = Availabilities, description = "What can be bought")))]
pub(crate) async fn availability(
    public: Public,
    Ask(query): Ask<Options>,
    State(app): State<Shared>,
) -> Answer<Found<Availabilities>> {
    Ok(Found(Availabilities { items: app.order.availability(public.ctx(), query.ids()?).await? }))
}

/// Watch what can be bought
///
/// Server-sent events named `availability`, each with one Availability as JSON: first the current state, then every
/// change, gathered to at most five a second for an option. Comments keep the stream alive. Reconnect when it ends.
#[utoipa::path(get, path = "/v1/availability/stream", tag = "Availability", operation_id = "watch_availability",
    params(Options),
    responses((status = 200, content_type = "text/event-stream", body = String, description = "A stream of events")))]
pub(crate) async fn stream(public: Public, Ask(query): Ask<Options>, State(app): State<Shared>) -> Answer<Response> {
    let stream = app.live.listen(public.ctx(), query.ids()?).await?;
    let mut response = Response::new(Body::new(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that buffer would make it anything but live.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
