//! A market in a hundred lines, in memory, that can be told to misbehave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use contract::order::{LineView, OrderState, OrderView, PlaceBody, Placed, PlacedLine, Sale, SaleLine, Stock};
use http::StatusCode;
use kit::id::{ItemId, OptionId, OrderId, SaleId, StoreId};
use kit::{Clock as _, Page, SystemClock};
use parking_lot::Mutex;
use serde_json::json;
use uuid::Uuid;

use crate::wire::Target;

/// What the market does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    None,
    /// Sells one more than there is.
    Oversells,
    /// Forgets an order that it acknowledged.
    Forgets,
    /// Makes two orders of one request.
    Doubles,
    /// Decides a repeated key anew.
    ForgetsKeys,
    IgnoresTheLimit,
    /// Refuses one buyer while there are units.
    JumpsTheQueue,
    /// Sells before the opening.
    OpensEarly,
    /// Never gives expired units back.
    KeepsHolds,
    /// Answers 500 once, after the order was placed.
    Stumbles,
    /// Every tenth answer is cut off after the order was placed: no vice of a market, but of the network.
    LosesAnswers,
}

pub struct Fake {
    pub option: OptionId,
    pub sale: SaleId,
    pub hold: Duration,
    limit: i64,
    units: i64,
    vice: Vice,
    state: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    open: bool,
    orders: Vec<(Uuid, OrderView)>,
    by_key: HashMap<String, Placed>,
    requests: u64,
    sinned: bool,
}

impl Fake {
    pub async fn start(units: i64, limit: i64, hold: Duration, vice: Vice) -> (Arc<Self>, Target) {
        let fake = Arc::new(Self {
            option: OptionId(Uuid::now_v7()),
            sale: SaleId(Uuid::now_v7()),
            hold,
            limit,
            units,
            vice,
            state: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/orders", post(place).get(list))
            .route("/v1/orders/{id}/payment", post(pay))
            .route("/v1/options/{id}/stock", get(stock))
            .route("/v1/sales/{id}", get(sale))
            .with_state(Arc::clone(&fake));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let target = Target::at(listener.local_addr().expect("address")).expect("target");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, target)
    }

    pub fn open(&self) {
        self.state.lock().open = true;
    }

    fn expire(&self, book: &mut Book) {
        let now = SystemClock.now();
        for (_, order) in &mut book.orders {
            if order.state == OrderState::Held && order.hold_expires_at.is_some_and(|at| at <= now) {
                order.state = if self.vice == Vice::KeepsHolds { OrderState::Held } else { OrderState::Expired };
            }
        }
    }

    fn count(book: &Book, state: OrderState) -> i64 {
        book.orders.iter().filter(|(_, order)| order.state == state).map(|(_, order)| order.lines[0].quantity).sum()
    }

    fn left(&self, book: &Book) -> i64 {
        self.units - Self::count(book, OrderState::Held) - Self::count(book, OrderState::Paid)
    }

    /// True the first time, for the vice that is asked about.
    fn sins(&self, book: &mut Book, vice: Vice) -> bool {
        let now = self.vice == vice && !book.sinned;
        book.sinned |= now;
        now
    }
}

fn problem(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({ "code": code }))).into_response()
}

fn member(headers: &HeaderMap) -> Uuid {
    let token = headers["authorization"].to_str().expect("token");
    token.trim_start_matches("Bearer ").parse().expect("a buyer's id")
}

async fn place(State(fake): State<Arc<Fake>>, headers: HeaderMap, Json(body): Json<PlaceBody>) -> Response {
    let member = member(&headers);
    let key = headers["idempotency-key"].to_str().expect("key").to_owned();
    let book = &mut *fake.state.lock();
    fake.expire(book);
    book.requests += 1;
    if let Some(placed) = book.by_key.get(&key).filter(|_| fake.vice != Vice::ForgetsKeys) {
        return (StatusCode::CREATED, [("idempotent-replayed", "true")], Json(placed.clone())).into_response();
    }
    if !book.open && !fake.sins(book, Vice::OpensEarly) {
        return problem(StatusCode::FORBIDDEN, "sale_not_open");
    }
    let quantity = body.lines[0].quantity;
    let counts = |order: &OrderView| matches!(order.state, OrderState::Held | OrderState::Paid);
    let own = book.orders.iter().filter(|(owner, order)| *owner == member && counts(order));
    if own.map(|(_, order)| order.lines[0].quantity).sum::<i64>() + quantity > fake.limit
        && !fake.sins(book, Vice::IgnoresTheLimit)
    {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "over_limit");
    }
    if fake.sins(book, Vice::JumpsTheQueue) || (fake.left(book) < quantity && !fake.sins(book, Vice::Oversells)) {
        return problem(StatusCode::CONFLICT, "sold_out");
    }
    let placed = order(&fake, book, member, &body);
    book.by_key.insert(key, placed.clone());
    if fake.sins(book, Vice::Doubles) {
        order(&fake, book, member, &body);
    }
    if fake.sins(book, Vice::Forgets) {
        book.orders.pop();
    }
    if fake.sins(book, Vice::Stumbles) {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "internal");
    }
    if fake.vice == Vice::LosesAnswers && book.requests % 10 == 0 {
        // The connection breaks in the middle of the answer.
        let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
        return (StatusCode::CREATED, Body::from_stream(broken)).into_response();
    }
    (StatusCode::CREATED, Json(placed)).into_response()
}

fn order(fake: &Fake, book: &mut Book, member: Uuid, body: &PlaceBody) -> Placed {
    let now = SystemClock.now();
    let ends = now.plus_ms(i64::try_from(fake.hold.as_millis()).expect("short"));
    let id = OrderId(Uuid::now_v7());
    let line = &body.lines[0];
    let unit_price = body.total.amount / line.quantity;
    let view = OrderView {
        id,
        state: OrderState::Held,
        total: body.total,
        lines: vec![LineView {
            line_no: 0,
            option_id: line.option_id,
            item_id: ItemId(Uuid::nil()),
            store_id: StoreId(Uuid::nil()),
            sale_id: line.sale_id,
            item_name: String::new(),
            option_name: String::new(),
            quantity: line.quantity,
            unit_price,
            state: OrderState::Held,
        }],
        placed_at: now,
        hold_expires_at: Some(ends),
        paid_at: None,
        payment_running: false,
    };
    book.orders.push((member, view));
    let lines =
        vec![PlacedLine { option_id: line.option_id, sale_id: line.sale_id, quantity: line.quantity, unit_price }];
    Placed { order_id: id, lines, total: body.total, placed_at: now, hold_expires_at: ends }
}

async fn pay(State(fake): State<Arc<Fake>>, Path(id): Path<Uuid>) -> Response {
    let book = &mut *fake.state.lock();
    fake.expire(book);
    match book.orders.iter_mut().find(|(_, order)| order.id.0 == id) {
        Some((_, order)) if matches!(order.state, OrderState::Held | OrderState::Paid) => {
            order.state = OrderState::Paid;
            Json(json!({})).into_response()
        }
        _ => problem(StatusCode::CONFLICT, "hold_ended"),
    }
}

async fn list(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> Response {
    let member = member(&headers);
    let book = fake.state.lock();
    let own = book.orders.iter().filter(|(owner, _)| *owner == member).map(|(_, order)| order.clone());
    Json(Page { items: own.collect(), next: None }).into_response()
}

async fn stock(State(fake): State<Arc<Fake>>) -> Response {
    let book = &mut *fake.state.lock();
    fake.expire(book);
    Json(Stock {
        option_id: fake.option,
        supplied: fake.units,
        available: 0,
        set_aside: fake.left(book),
        held: Fake::count(book, OrderState::Held),
        sold: Fake::count(book, OrderState::Paid),
        written_off: 0,
    })
    .into_response()
}

async fn sale(State(fake): State<Arc<Fake>>) -> Response {
    let book = &mut *fake.state.lock();
    fake.expire(book);
    let now = SystemClock.now();
    let line = SaleLine {
        option_id: fake.option,
        item_id: ItemId(Uuid::nil()),
        item_name: String::new(),
        option_name: String::new(),
        price: 0,
        quantity: fake.units,
        available: fake.left(book),
    };
    Json(Sale {
        id: fake.sale,
        store_id: StoreId(Uuid::nil()),
        name: String::new(),
        opens_at: now,
        closes_at: now,
        limit_per_member: Some(fake.limit),
        lines: vec![line],
        now,
    })
    .into_response()
}
