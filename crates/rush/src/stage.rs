//! Sets the stage: somebody who sells, something to sell, a crowd that is signed in.
//!
//! Everything through the public doors, as a seller and an operator would do it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use contract::catalog::{Category, Item, Store};
use contract::member::{Mail, Tokens};
use contract::order::{Sale, Stock};
use http::{HeaderValue, StatusCode};
use indicatif::ProgressBar;
use kit::id::{CategoryId, MemberId, OptionId, SaleId, StoreId};
use kit::{Millis, Secret};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::record::Buyer;
use crate::wire::{Ask, Connection, Target, bearer};

/// What one unit costs, in won.
pub const PRICE: i64 = 9_900;
/// What a buyer has to spend, in won: more than anybody needs.
const CREDIT: i64 = 100_000_000;
/// Buyers made by one request.
const BUYERS_PER_REQUEST: u32 = 500;
/// The market needs a moment until a new item can be sold; longer is a failure.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
/// A mail that takes longer will not come.
const MAILED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// How often a request is repeated while the market is busy or away.
const TRIES_MAX: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// Somebody who talks to the market in peace, before and after the rush.
pub struct Desk<'a> {
    connection: Connection<'a>,
    /// Makes the keys of this run differ from those of another.
    run: String,
    keys: u64,
}

impl<'a> Desk<'a> {
    pub fn new(target: &'a Target) -> Self {
        let run = uuid::Uuid::now_v7().simple().to_string();
        Self { connection: Connection::new(target), run, keys: 0 }
    }

    /// Names the run; part of every name and key it makes.
    pub fn run(&self) -> &str {
        &self.run
    }

    pub async fn get<T: DeserializeOwned>(&mut self, path: &str, token: &HeaderValue) -> Result<T> {
        self.ask(&Ask::get(path)?.token(token)).await?.success().with_context(|| format!("GET {path}"))
    }

    /// Posts with a key of its own, so that repeating is safe.
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, token: &HeaderValue, body: Value) -> Result<T> {
        self.keys += 1;
        let key = format!("desk-{}-{}", self.run, self.keys);
        let ask = Ask::post(path, body.to_string())?.token(token).key(&key)?;
        self.ask(&ask).await?.success().with_context(|| format!("POST {path}"))
    }

    /// Posts to a door that needs no token and says nothing in return.
    async fn send(&mut self, path: &str, body: Value) -> Result<()> {
        let answer = self.ask(&Ask::post(path, body.to_string())?).await?;
        ensure!(answer.status.is_success(), "POST {path}: answered {} {}", answer.status.as_u16(), answer.code());
        Ok(())
    }

    /// Asks until the market has time to answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<crate::wire::Answer> {
        for _ in 0..TRIES_MAX {
            match self.connection.send(ask).await {
                Ok(answer) if !is_busy(answer.status) => return Ok(answer),
                Ok(_) | Err(_) => tokio::time::sleep(TRY_PAUSE).await,
            }
        }
        bail!("{} {}: no answer after {TRIES_MAX} tries", ask.method, ask.uri)
    }

    /// Signs in.
    pub async fn login(&mut self, email: &str, password: &str) -> Result<HeaderValue> {
        let body = json!({ "email": email, "password": password }).to_string();
        let tokens: Tokens = self.ask(&Ask::post("/v1/sessions", body)?).await?.success().context("cannot sign in")?;
        bearer(tokens.access_token.expose())
    }
}

/// Too busy, or not there yet.
pub fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// Signs up a seller and follows the link in the mail, as it is shown on the mailbox page.
pub async fn sign_up_seller(desk: &mut Desk<'_>) -> Result<HeaderValue> {
    let email = format!("seller-{}@rush.invalid", desk.run());
    let password = uuid::Uuid::now_v7().to_string();
    let phone = format!("010{:08}", rand::rng().random_range(0..100_000_000_u32));
    let person = json!({
        "email": email, "password": password, "name": "Rush", "phone": phone, "business_name": format!("Rush {}", desk.run()),
    });
    desk.send("/v1/sellers", person).await?;
    let token = mailed_token(desk, &email).await?;
    desk.send("/v1/verification", json!({ "token": token.expose() })).await?;
    desk.login(&email, &password).await
}

/// The token of the verification link that was mailed to `email`.
async fn mailed_token(desk: &mut Desk<'_>, email: &str) -> Result<Secret> {
    let begun = Instant::now();
    while begun.elapsed() < MAILED_WITHIN {
        let answer = desk.ask(&Ask::get("/dev/mail")?).await?;
        let mails: Mails = answer.success().context("the market has no mailbox page: give it --seller-email")?;
        let mail = mails.items.iter().find(|mail| mail.to.expose() == email);
        if let Some(token) = mail.and_then(|mail| mail.text.expose().split("token=").nth(1)) {
            return Ok(Secret::new(token.split_whitespace().next().unwrap_or_default()));
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("no verification mail came within {MAILED_WITHIN:?}")
}

#[derive(Deserialize)]
struct Mails {
    items: Vec<Mail>,
}

/// A seller's store with a category to put items in.
pub struct Shop {
    pub token: HeaderValue,
    pub store: StoreId,
    pub category: CategoryId,
}

/// Opens a store and makes a category.
pub async fn open_shop(desk: &mut Desk<'_>, admin: &HeaderValue, seller: HeaderValue) -> Result<Shop> {
    let name = format!("Rush {}", desk.run());
    let category: Category = desk.post("/v1/categories", admin, json!({ "name": name })).await?;
    let store: Store = desk.post("/v1/stores", &seller, json!({ "name": name })).await?;
    Ok(Shop { token: seller, store: store.id, category: category.id })
}

/// Puts an item with `options` options of `stock` units each on the shelf, and waits until they can be sold.
pub async fn stock_item(
    desk: &mut Desk<'_>,
    shop: &Shop,
    name: &str,
    options: usize,
    stock: i64,
) -> Result<Vec<OptionId>> {
    let options: Vec<Value> =
        (1..=options).map(|n| json!({ "name": format!("{n}"), "price": PRICE, "stock": stock })).collect();
    let body = json!({ "name": name, "category_id": shop.category, "options": options });
    let item: Item = desk.post(&format!("/v1/stores/{}/items", shop.store), &shop.token, body).await?;
    let ids: Vec<OptionId> = item.options.iter().map(|option| option.id).collect();
    let last = ids.last().context("the item has no option")?;
    let begun = Instant::now();
    while begun.elapsed() < KNOWN_WITHIN {
        let ask = Ask::get(&stock_path(*last))?.token(&shop.token);
        let answer = desk.ask(&ask).await?;
        if answer.status.is_success() && answer.success::<Stock>()?.available == stock {
            return Ok(ids);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("the new item could not be sold within {KNOWN_WITHIN:?}")
}

/// A drop: which option, how many units of it, from when until when, and how many for one member.
pub struct Drop {
    pub option: OptionId,
    pub quantity: i64,
    pub opens_at: Millis,
    pub closes_at: Millis,
    pub limit: Option<i64>,
}

/// Announces a drop.
pub async fn announce(desk: &mut Desk<'_>, shop: &Shop, drop: &Drop) -> Result<Sale> {
    let line = json!({ "option_id": drop.option, "quantity": drop.quantity, "price": PRICE });
    let body = json!({
        "name": format!("Drop {}", desk.run()),
        "opens_at": drop.opens_at,
        "closes_at": drop.closes_at,
        "limit_per_member": drop.limit,
        "lines": [line],
    });
    desk.post(&format!("/v1/stores/{}/sales", shop.store), &shop.token, body).await
}

/// Makes `count` buyers who are signed in and have money. Needs the market's rehearsal routes.
pub async fn invite(
    desk: &mut Desk<'_>,
    admin: &HeaderValue,
    count: u32,
    walk_away: f64,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Vec<Buyer>> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut buyers = Vec::new();
    let mut left = count;
    while left > 0 {
        let some = left.min(BUYERS_PER_REQUEST);
        let body = json!({ "count": some, "credit": CREDIT });
        let made: Invited = desk.post("/v1/admin/rehearsal/buyers", admin, body).await.context(
            "cannot make buyers: the market must have its rehearsal routes switched on ([rehearsal] enabled)",
        )?;
        for guest in &made.buyers {
            let token = bearer(guest.access_token.expose())?;
            buyers.push(Buyer { id: guest.id, token, walker: draw.random_bool(walk_away) });
        }
        ensure!(made.buyers.len() == some as usize, "asked for {some} buyers, got {}", made.buyers.len());
        left -= some;
        bar.inc(u64::from(some));
    }
    Ok(buyers)
}

#[derive(Deserialize)]
struct Invited {
    buyers: Vec<Guest>,
}

#[derive(Deserialize)]
struct Guest {
    id: MemberId,
    access_token: Secret,
}

pub fn stock_path(option: OptionId) -> String {
    format!("/v1/options/{option}/stock")
}

pub fn sale_path(sale: SaleId) -> String {
    format!("/v1/sales/{sale}")
}

/// The body of an order, as JSON text.
pub fn order_body(option: OptionId, sale: Option<SaleId>, quantity: i64) -> bytes::Bytes {
    let mut line = json!({ "option_id": option, "quantity": quantity });
    if let Some(sale) = sale {
        line["sale_id"] = json!(sale);
    }
    let total = json!({ "amount": PRICE * quantity, "currency": "KRW" });
    json!({ "lines": [line], "total": total }).to_string().into()
}
