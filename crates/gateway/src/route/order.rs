//! Placing, reading, cancelling and paying orders.

use axum::extract::State;
use contract::order::{Cancel, ListOrders, OrderQuery, OrderView, OwnOrder, Place, PlaceBody, Placed};
use contract::payment::{Paid, Pay, PayBody};
use kit::Page;
use kit::id::OrderId;

use crate::app::Shared;
use crate::auth::Buyer;
use crate::input::{Ask, At, Json, Key, KeyHeader};
use crate::problem::Answer;
use crate::reply::{Created, Done, Found};

/// Place an order
///
/// Takes the stock of all lines at once, or of none, and holds it until `hold_expires_at`. Pay before then.
#[utoipa::path(post, path = "/v1/orders", tag = "Orders", operation_id = "place_order", params(KeyHeader),
    request_body = PlaceBody, responses((status = 201, body = Placed, description = "Held for you")),
    security(("token" = ["buyer"])),
    extensions(("x-problems" = json!(["sold_out", "over_limit", "sale_not_open", "not_on_sale", "price_changed",
        "amount_out_of_range", "currency_mismatch"]))))]
pub(crate) async fn place(
    buyer: Buyer,
    Key(key): Key,
    State(app): State<Shared>,
    Json(body): Json<PlaceBody>,
) -> Answer<Created<Placed>> {
    let once = app.order.place(buyer.ctx(), Place { member: buyer.id, key, body }).await?;
    Ok(Created { at: format!("/v1/orders/{}", once.answer.order_id), once })
}

/// List the own orders
///
/// Newest first.
#[utoipa::path(get, path = "/v1/orders", tag = "Orders", operation_id = "list_orders", params(OrderQuery),
    responses((status = 200, body = Page<OrderView>, description = "A page of orders")),
    security(("token" = ["buyer"])), extensions(("x-problems" = json!(["bad_cursor"]))))]
pub(crate) async fn list(
    buyer: Buyer,
    Ask(query): Ask<OrderQuery>,
    State(app): State<Shared>,
) -> Answer<Found<Page<OrderView>>> {
    let query = OrderQuery { size: app.settings.page_size(query.size), ..query };
    Ok(Found(app.order.list_orders(buyer.ctx(), ListOrders { member: buyer.id, query }).await?))
}

/// Read an order
#[utoipa::path(get, path = "/v1/orders/{order_id}", tag = "Orders", operation_id = "order",
    params(("order_id" = OrderId, Path)), responses((status = 200, body = OrderView, description = "The order")),
    security(("token" = ["buyer"])), extensions(("x-problems" = json!(["not_found"]))))]
pub(crate) async fn find(buyer: Buyer, At(order): At<OrderId>, State(app): State<Shared>) -> Answer<Found<OrderView>> {
    Ok(Found(app.order.order(buyer.ctx(), OwnOrder { member: buyer.id, order }).await?))
}

/// Give a hold back
#[utoipa::path(post, path = "/v1/orders/{order_id}/cancel", tag = "Orders", operation_id = "cancel_order",
    params(("order_id" = OrderId, Path), KeyHeader),
    responses((status = 200, body = OrderView, description = "Cancelled")), security(("token" = ["buyer"])),
    extensions(("x-problems" = json!(["not_found", "payment_running", "illegal_move"]))))]
pub(crate) async fn cancel(
    buyer: Buyer,
    At(order): At<OrderId>,
    Key(key): Key,
    State(app): State<Shared>,
) -> Answer<Done<OrderView>> {
    Ok(Done(app.order.cancel(buyer.ctx(), Cancel { member: buyer.id, order, key }).await?))
}

/// Pay an order
///
/// From the wallet.
#[utoipa::path(post, path = "/v1/orders/{order_id}/payment", tag = "Orders", operation_id = "pay_order",
    params(("order_id" = OrderId, Path), KeyHeader), request_body = PayBody,
    responses((status = 200, body = Paid, description = "Paid")), security(("token" = ["buyer"])),
    extensions(("x-problems" = json!(["not_found", "hold_ended", "payment_running", "illegal_move",
        "insufficient_funds"]))))]
pub(crate) async fn pay(
    buyer: Buyer,
    At(order): At<OrderId>,
    Key(key): Key,
    State(app): State<Shared>,
    Json(body): Json<PayBody>,
) -> Answer<Done<Paid>> {
    Ok(Done(app.payment.pay(buyer.ctx(), Pay { member: buyer.id, order, key, body }).await?))
}
