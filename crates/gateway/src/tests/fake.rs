//! Services that answer from the request alone, and a gateway in front of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use contract::catalog::*;
use contract::idempotency::Once;
use contract::member::*;
use contract::order::*;
use contract::payment::*;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kit::id::*;
use kit::jwt::{Claims, SigningKey};
use kit::{Clock as _, Code, Ctx, Fault, ManualClock, Millis, Money, Page, Result, Role, Secret, SystemIds};
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::app::App;
use crate::{Deps, Gateway, Settings};

/// Totals that make the order service misbehave.
pub(crate) const SOLD_OUT: i64 = 1;
pub(crate) const BROKEN: i64 = 2;
pub(crate) const PANIC: i64 = 3;
pub(crate) const SLOW: i64 = 4;
pub(crate) const AGAIN: i64 = 5;
/// What must never be shown.
pub(crate) const INSIDE: &str = "the-context-of-a-fault";

pub(crate) struct Fake {
    pub(crate) keys: Mutex<Vec<SigningKey>>,
    pub(crate) keys_asked: AtomicUsize,
    pub(crate) member_down: Mutex<bool>,
    pub(crate) order_down: Mutex<bool>,
    pub(crate) availability: Mutex<Vec<Availability>>,
    pub(crate) addresses: Mutex<Vec<String>>,
    clock: ManualClock,
}

pub(crate) fn key(kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(kid, &SigningKey::generate_pkcs8().expect("key")).expect("key")
}

fn absent<T>() -> Result<T> {
    Err(Fault::new(Code::NotFound))
}

#[async_trait]
impl Member for Fake {
    async fn sign_up(&self, _: &Ctx, _: SignUp) -> Result<()> {
        Ok(())
    }
    async fn verify_email(&self, _: &Ctx, _: VerifyEmail) -> Result<()> {
        Err(Fault::new(Code::BadVerificationToken))
    }
    async fn resend_verification(&self, _: &Ctx, _: ResendVerification) -> Result<()> {
        Ok(())
    }
    async fn login(&self, _: &Ctx, login: Login) -> Result<Tokens> {
        self.addresses.lock().push(login.address.expose().to_owned());
        Err(Fault::new(Code::BadCredentials))
    }
    async fn refresh(&self, _: &Ctx, _: Refresh) -> Result<Tokens> {
        Err(Fault::new(Code::BadRefreshToken))
    }
    async fn logout(&self, _: &Ctx, _: SessionRef) -> Result<()> {
        Ok(())
    }
    async fn logout_all(&self, _: &Ctx, _: MemberId) -> Result<()> {
        Ok(())
    }
    async fn me(&self, _: &Ctx, _: MemberId) -> Result<Me> {
        absent()
    }
    async fn keys(&self, _: &Ctx, (): ()) -> Result<Keys> {
        self.keys_asked.fetch_add(1, Ordering::SeqCst);
        if *self.member_down.lock() {
            return Err(Fault::new(Code::Unavailable));
        }
        Ok(Keys { keys: self.keys.lock().iter().map(|key| key.public().clone()).collect() })
    }
    async fn enroll(&self, _: &Ctx, enroll: Enroll) -> Result<Vec<Enrolled>> {
        let made = enroll.people.iter().map(|_| Enrolled {
            id: MemberId(SystemIds.next()),
            access_token: Some(Secret::new("token")),
            created: true,
        });
        Ok(made.collect())
    }
    async fn mailbox(&self, _: &Ctx, (): ()) -> Result<Vec<Mail>> {
        let text = kit::Personal::new("<script>alert(1)</script>");
        Ok(vec![Mail { to: text.clone(), subject: "<b>hi</b>".into(), text, sent_at: Millis(0) }])
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn open_store(&self, _: &Ctx, _: OpenStore) -> Result<Once<Store>> {
        Err(Fault::field("/name", "taken", "taken by somebody else"))
    }
    async fn update_store(&self, _: &Ctx, _: UpdateStore) -> Result<Store> {
        absent()
    }
    async fn close_store(&self, _: &Ctx, _: OwnStore) -> Result<()> {
        absent()
    }
    async fn store(&self, _: &Ctx, _: StoreId) -> Result<Store> {
        absent()
    }
    async fn list_stores(&self, _: &Ctx, _: ListStores) -> Result<Page<Store>> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn create_item(&self, _: &Ctx, _: CreateItem) -> Result<Once<Item>> {
        absent()
    }
    async fn update_item(&self, _: &Ctx, _: UpdateItem) -> Result<Item> {
        Err(Fault::new(Code::Stale))
    }
    async fn item(&self, _: &Ctx, request: GetItem) -> Result<Item> {
        let options = [1, 2].map(|n| ItemOption {
            id: option(n),
            name: n.to_string(),
            price: 100,
            limit_per_member: None,
            limit_days: None,
        });
        Ok(Item {
            id: request.item,
            store_id: StoreId(SystemIds.next()),
            seller_id: MemberId(SystemIds.next()),
            category_id: CategoryId(SystemIds.next()),
            name: "item".into(),
            description: String::new(),
            on_sale: true,
            hidden: false,
            options: options.into(),
            created_at: Millis(0),
            version: 1,
        })
    }
    async fn list_items(&self, _: &Ctx, _: ListItems) -> Result<Page<ItemSummary>> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn list_own_items(&self, _: &Ctx, _: ListOwnItems) -> Result<Page<Item>> {
        absent()
    }
    async fn list_categories(&self, _: &Ctx, (): ()) -> Result<Vec<Category>> {
        Ok(Vec::new())
    }
    async fn create_category(&self, _: &Ctx, body: CategoryBody) -> Result<Category> {
        Ok(Category { id: CategoryId(SystemIds.next()), name: body.name, parent_id: None })
    }
    async fn update_category(&self, _: &Ctx, _: UpdateCategory) -> Result<Category> {
        absent()
    }
    async fn remove_category(&self, _: &Ctx, _: CategoryId) -> Result<()> {
        absent()
    }
}

#[async_trait]
impl Order for Fake {
    async fn place(&self, _: &Ctx, place: Place) -> Result<Once<Placed>> {
        let receipt = Placed {
            order_id: OrderId(SystemIds.next()),
            lines: Vec::new(),
            total: place.body.total,
            placed_at: Millis(0),
            hold_expires_at: Millis(1),
        };
        match place.body.total.amount {
            SOLD_OUT => Err(Fault::new(Code::SoldOut)),
            BROKEN => Err(Fault::internal(INSIDE)),
            PANIC => panic!("{INSIDE}"),
            SLOW => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                Ok(Once::first(receipt))
            }
            AGAIN => Ok(Once::again(receipt)),
            _ => Ok(Once::first(receipt)),
        }
    }
    async fn cancel(&self, _: &Ctx, _: Cancel) -> Result<Once<OrderView>> {
        absent()
    }
    async fn order(&self, _: &Ctx, _: OwnOrder) -> Result<OrderView> {
        absent()
    }
    async fn list_orders(&self, _: &Ctx, list: ListOrders) -> Result<Page<OrderView>> {
        match list.query.size {
            Some(20) => Ok(Page { items: Vec::new(), next: None }),
            size => Err(Fault::new(Code::NotFound).fact("size", size)),
        }
    }
    async fn list_store_lines(&self, _: &Ctx, _: ListStoreLines) -> Result<Page<StoreLine>> {
        absent()
    }
    async fn availability(&self, _: &Ctx, options: Vec<OptionId>) -> Result<Vec<Availability>> {
        if *self.order_down.lock() {
            return Err(Fault::new(Code::Unavailable));
        }
        let all = self.availability.lock().clone();
        Ok(all.into_iter().filter(|one| options.contains(&one.option_id)).collect())
    }
    async fn stock(&self, _: &Ctx, _: OwnOption) -> Result<Stock> {
        absent()
    }
    async fn list_stock_entries(&self, _: &Ctx, _: ListStockEntries) -> Result<Page<StockEntry>> {
        absent()
    }
    async fn change_stock(&self, _: &Ctx, _: ChangeStock) -> Result<Once<Stock>> {
        absent()
    }
    async fn create_sale(&self, _: &Ctx, _: CreateSale) -> Result<Once<Sale>> {
        absent()
    }
    async fn sale(&self, _: &Ctx, _: SaleId) -> Result<Sale> {
        absent()
    }
    async fn list_sales(&self, _: &Ctx, _: ListSales) -> Result<Page<Sale>> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn begin_payment(&self, _: &Ctx, _: BeginPayment) -> Result<Payable> {
        absent()
    }
    async fn end_payment(&self, _: &Ctx, _: EndPayment) -> Result<OrderState> {
        absent()
    }
}

#[async_trait]
impl Payment for Fake {
    async fn credit_wallet(&self, _: &Ctx, credit: CreditWallet) -> Result<Once<WalletEntry>> {
        Ok(Once::first(WalletEntry {
            transfer_id: TransferId(SystemIds.next()),
            amount: credit.body.amount,
            cause: Cause::Credit,
            order_id: None,
            reason: Some(credit.body.reason),
            at: Millis(0),
        }))
    }
    async fn wallet(&self, _: &Ctx, member: MemberId) -> Result<Wallet> {
        Ok(Wallet { member_id: member, balance: Money::new(0, kit::Currency::KRW) })
    }
    async fn list_wallet_entries(&self, _: &Ctx, _: ListWalletEntries) -> Result<Page<WalletEntry>> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn pay(&self, _: &Ctx, _: Pay) -> Result<Once<Paid>> {
        Err(Fault::new(Code::InsufficientFunds))
    }
}

/// The option that tests call `n`.
pub(crate) fn option(n: u8) -> OptionId {
    let mut bytes = [0; 16];
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    bytes[15] = n;
    OptionId(uuid::Uuid::from_bytes(bytes))
}

pub(crate) fn available(n: u8, units: i64) -> Availability {
    Availability { option_id: option(n), sale_id: None, available: units, on_sale: true }
}

/// A gateway in front of [`Fake`], and what a test does to both.
pub(crate) struct World {
    pub(crate) fake: Arc<Fake>,
    pub(crate) kv: kv::Shared,
    pub(crate) clock: ManualClock,
    pub(crate) gateway: Gateway,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }

    /// The code of the problem, after looking at whether it is one at all.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{self:?}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{self:?}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {self:?}");
        }
        assert!(!String::from_utf8_lossy(&self.body).contains(INSIDE), "{self:?}");
        problem["code"].as_str().expect("code").to_owned()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Without rate limits, unless `change` says otherwise.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let clock = ManualClock::default();
        let fake = Arc::new(Fake {
            keys: Mutex::new(vec![key("one")]),
            keys_asked: AtomicUsize::new(0),
            member_down: Mutex::new(false),
            order_down: Mutex::new(false),
            availability: Mutex::default(),
            addresses: Mutex::default(),
            clock: clock.clone(),
        });
        let mut settings = Settings { rate_limits: false, rehearsal: true, mailbox: true, ..Settings::default() };
        change(&mut settings);
        let kv: kv::Shared = Arc::new(kv::Memory::new());
        let gateway = Gateway::new(Deps {
            member: MemberClient::local(fake.clone()),
            catalog: CatalogClient::local(fake.clone()),
            order: OrderClient::local(fake.clone()),
            payment: PaymentClient::local(fake.clone()),
            kv: kv.clone(),
            clock: Arc::new(clock.clone()),
            ids: Arc::new(SystemIds),
            settings,
        });
        Self { fake, kv, clock, gateway: gateway.expect("gateway") }
    }

    pub(crate) fn router(&self) -> Router {
        self.gateway.router()
    }

    pub(crate) fn claims(&self, role: Role) -> Claims {
        self.fake.claims(role)
    }

    pub(crate) fn token(&self, role: Role) -> String {
        self.sign(&self.claims(role))
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.fake.keys.lock()[0].sign(claims).expect("token")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Sends `body` with the headers that an order needs.
    pub(crate) async fn place(&self, body: impl Into<Body>, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::post("/v1/orders")
            .header("authorization", format!("Bearer {}", self.token(Role::Buyer)))
            .header("content-type", "application/json")
            .header("idempotency-key", "key-1");
        let map = request.headers_mut().expect("headers");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("name");
            match value.is_empty() {
                true => map.remove(&name),
                false => map.insert(name, value.parse().expect("value")),
            };
        }
        self.send(request.body(body.into()).expect("request")).await
    }
}

impl Fake {
    fn claims(&self, role: Role) -> Claims {
        let now_s = self.clock.now().0 / 1000;
        Claims {
            iss: "jangteo".into(),
            aud: "market".into(),
            sub: MemberId(SystemIds.next()),
            sid: SessionId(SystemIds.next()),
            role,
            ver: true,
            iat: now_s,
            exp: now_s + 600,
        }
    }
}

/// An order that costs `amount`.
pub(crate) fn order(amount: i64) -> String {
    let line = serde_json::json!({ "option_id": option(1), "quantity": 1 });
    serde_json::json!({ "lines": [line], "total": { "amount": amount, "currency": "KRW" } }).to_string()
}

/// What extractors are given.
pub(crate) async fn app() -> Arc<App> {
    World::new().gateway.0.app.clone()
}
