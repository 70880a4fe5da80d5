//! Doors for rehearsals: buyers in bulk, and an order that is not placed. Only routed when an operator says so.

use std::time::{Duration, Instant};

use axum::extract::State;
use contract::IdempotencyKey;
use contract::idempotency::Once;
use contract::member::{Enroll, Enrolled, Person};
use contract::order::{PlaceBody, Placed, PlacedLine};
use contract::payment::{CreditBody, CreditWallet};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use garde::Validate;
use kit::ctx::DEADLINE_MS_MAX;
use kit::id::{MemberId, OrderId};
use kit::{Ctx, Fault, Money, Personal, Role, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{App, Shared};
use crate::auth::{Admin, Buyer};
use crate::input::{Json, Key, KeyHeader};
use crate::problem::Answer;
use crate::reply::{Created, Found};

/// Wallets credited at the same time.
const CREDITS_AT_ONCE: usize = 32;
/// The hold that a rehearsed order would have had.
const HOLD_MS: i64 = 600_000;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CrowdBody {
    /// How many buyers.
    #[garde(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1000, example = 500)]
    count: u32,
    /// What each has to spend, in minor units of the market's currency.
    #[garde(range(min = 0, max = 1_000_000_000_000_i64))]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, example = 100_000)]
    credit: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Crowd {
    buyers: Vec<Guest>,
}

/// A buyer who is signed in.
#[derive(Serialize, ToSchema)]
struct Guest {
    id: MemberId,
    #[schema(value_type = String)]
    access_token: Secret,
}

/// Make buyers
///
/// Verified, signed in, with money in their wallets. New ones each time.
#[utoipa::path(post, path = "/v1/admin/rehearsal/buyers", tag = "Rehearsal", operation_id = "rehearse_buyers",
    request_body = CrowdBody, responses((status = 200, body = Crowd, description = "The buyers")),
    security(("token" = ["admin"])))]
pub(crate) async fn buyers(
    admin: Admin,
    State(app): State<Shared>,
    Json(body): Json<CrowdBody>,
) -> Answer<Found<Crowd>> {
    // More than an ordinary request may take: a thousand wallets are a thousand transactions.
    let deadline = Instant::now() + Duration::from_millis(DEADLINE_MS_MAX);
    let ctx = Ctx { deadline: Some(deadline), ..admin.ctx().clone() };
    let people = (0..body.count).map(|_| stranger(&app)).collect();
    let enrolled = app.member.enroll(&ctx, Enroll { role: Role::Buyer, people, tokens: true }).await?;
    let guests = stream::iter(enrolled).map(|buyer| invite(&app, &ctx, admin.id, buyer, body.credit));
    Ok(Found(Crowd { buyers: guests.buffered(CREDITS_AT_ONCE).try_collect().await? }))
}

/// Rehearse placing an order
///
/// Takes what `POST /v1/orders` takes and answers alike, but asks no service and keeps nothing: the yardstick that
/// benchmarks measure the market against.
#[utoipa::path(post, path = "/v1/admin/rehearsal/noop", tag = "Rehearsal", operation_id = "rehearse_order",
    params(KeyHeader), request_body = PlaceBody,
    responses((status = 201, body = Placed, description = "What an order would look like")),
    security(("token" = ["buyer"])))]
pub(crate) async fn noop(
    _buyer: Buyer,
    Key(_key): Key,
    State(app): State<Shared>,
    Json(body): Json<PlaceBody>,
) -> Answer<Created<Placed>> {
    let placed_at = app.clock.now();
    let lines = body.lines.iter().map(|line| PlacedLine {
        option_id: line.option_id,
        sale_id: line.sale_id,
        quantity: line.quantity,
        unit_price: body.total.amount,
    });
    let once = Once::first(Placed {
        order_id: OrderId(app.ids.next()),
        lines: lines.collect(),
        total: body.total,
        placed_at,
        hold_expires_at: placed_at.plus_ms(HOLD_MS),
    });
    Ok(Created { at: format!("/v1/orders/{}", once.answer.order_id), once })
}

fn stranger(app: &App) -> Person {
    Person {
        // `.invalid` never resolves (RFC 2606): no mail can leave for it.
        email: Personal::new(format!("{}@rehearsal.invalid", app.ids.next().simple())),
        name: Personal::new("Rehearsal"),
        phone: None,
        business_name: None,
        password: None,
    }
}

async fn invite(app: &App, ctx: &Ctx, admin: MemberId, buyer: Enrolled, credit: i64) -> Result<Guest, Fault> {
    let token = buyer.access_token.ok_or_else(|| Fault::internal("a buyer was enrolled without a token"))?;
    if credit > 0 {
        let key = IdempotencyKey::parse(&format!("rehearsal-{}", buyer.id))?;
        let amount = Money::new(credit, app.settings.currency);
        let body = CreditBody { amount, reason: "rehearsal".into() };
        app.payment.credit_wallet(ctx, CreditWallet { admin, member: buyer.id, key, body }).await?;
    }
    Ok(Guest { id: buyer.id, access_token: token })
}
