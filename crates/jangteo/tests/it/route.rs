//! Every route with a good request for it: what the tests of access and of bad input begin with.

use contract::catalog::{Category, Item, Store};
use contract::order::{Placed, Sale};
use http::Method;
use kit::Role;
use kit::id::{CategoryId, OrderId};
use serde_json::{Value, json};

use crate::actor::{Actor, Line, Shelf};
use crate::app::App;
use crate::client::Ask;

/// What a route takes beside what its path names.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    Nothing,
    /// A body.
    Body(fn(&Scene, u64) -> Value),
    /// An idempotency key.
    Key,
    /// Both.
    KeyedBody(fn(&Scene, u64) -> Value),
    /// A query string that it cannot do without.
    Query(fn(&Scene) -> String),
    /// A form of a page.
    Form(&'static str),
}

use Takes::{Body, Form, Key, KeyedBody, Nothing, Query};

/// Who asks, in the order of [`Route::expected`].
pub const ACTORS: [&str; 7] = ["nobody", "unverified buyer", "buyer", "other buyer", "seller", "other seller", "admin"];

/// The status that each of [`ACTORS`] is answered with.
pub type Expected = [u16; 7];

pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub takes: Takes,
    pub expected: Expected,
}

const ALL: fn(u16) -> Expected = |status| [status; 7];
const SIGNED_IN: fn(u16) -> Expected = |s| [401, s, s, s, s, s, s];
const BUYERS: fn(u16) -> Expected = |s| [401, 403, s, s, 403, 403, 403];
const OWN_BUYER: fn(u16) -> Expected = |s| [401, 403, s, 404, 403, 403, 403];
const SELLERS: fn(u16) -> Expected = |s| [401, 403, 403, 403, s, s, 403];
const OWN_SELLER: fn(u16) -> Expected = |s| [401, 403, 403, 403, s, 404, 403];
const ADMINS: fn(u16) -> Expected = |s| [401, 403, 403, 403, 403, 403, s];

/// The whole table. A route that is not in it fails a test; a line that names no route does, too.
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    let route = |method, path, takes, expected| Route { method, path, takes, expected };
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    vec![
        route(get.clone(), "/", Nothing, ALL(200)),
        route(get.clone(), "/docs", Nothing, ALL(200)),
        route(get.clone(), "/style.css", Nothing, ALL(200)),
        route(get.clone(), "/openapi.json", Nothing, ALL(200)),
        route(get.clone(), "/healthz", Nothing, ALL(200)),
        route(get.clone(), "/readyz", Nothing, ALL(200)),
        route(get.clone(), "/dev/mail", Nothing, ALL(200)),
        route(get.clone(), "/verify", Query(|_| "token=x".into()), ALL(200)),
        // This token, too, is nobody's.
        route(post.clone(), "/verify", Form("token=x"), ALL(422)),
        route(get.clone(), "/.well-known/jwks.json", Nothing, ALL(200)),

        route(post.clone(), "/v1/buyers", Body(buyer), ALL(202)),
        route(post.clone(), "/v1/sellers", Body(seller), ALL(202)),
        // The token of this body is nobody's.
        route(post.clone(), "/v1/verification", Body(|_, _| json!({"token": "x"})), ALL(422)),
        route(post.clone(), "/v1/verification/resend", Body(|_, _| json!({"email": "nobody@example.com"})), ALL(202)),
        route(post.clone(), "/v1/sessions", Body(log_in), ALL(201)),
        // Repeated within its grace.
        route(post.clone(), "/v1/sessions/refresh", Body(|s, _| json!({"refresh_token": s.refresh_token})), ALL(200)),
        route(delete.clone(), "/v1/sessions/current", Nothing, SIGNED_IN(204)),
        route(delete.clone(), "/v1/sessions", Nothing, SIGNED_IN(204)),
        route(get.clone(), "/v1/me", Nothing, SIGNED_IN(200)),

        route(post.clone(), "/v1/stores", Body(|_, n| json!({"name": format!("상점 {n}")})), SELLERS(201)),
        route(get.clone(), "/v1/stores", Nothing, ALL(200)),
        route(get.clone(), "/v1/stores/{store_id}", Nothing, ALL(200)),
        route(put.clone(), "/v1/stores/{store_id}", Body(|_, n| json!({"name": format!("상점 {n}"), "description": "새 설명"})), OWN_SELLER(200)),
        route(delete.clone(), "/v1/stores/{store_id}", Nothing, OWN_SELLER(204)),
        route(get.clone(), "/v1/stores/{store_id}/lines", Nothing, OWN_SELLER(200)),

        route(post.clone(), "/v1/stores/{store_id}/items", Body(item), OWN_SELLER(201)),
        route(get.clone(), "/v1/stores/{store_id}/items", Nothing, OWN_SELLER(200)),
        route(get.clone(), "/v1/items", Nothing, ALL(200)),
        route(get.clone(), "/v1/items/{item_id}", Nothing, ALL(200)),
        route(put.clone(), "/v1/items/{item_id}", Body(item), OWN_SELLER(200)),

        route(get.clone(), "/v1/categories", Nothing, ALL(200)),
        route(post.clone(), "/v1/categories", Body(category), ADMINS(201)),
        route(put.clone(), "/v1/categories/{category_id}", Body(category), ADMINS(200)),
        route(delete.clone(), "/v1/categories/{category_id}", Nothing, ADMINS(204)),

        route(get.clone(), "/v1/options/{option_id}/stock", Nothing, OWN_SELLER(200)),
        route(get.clone(), "/v1/options/{option_id}/stock/entries", Nothing, OWN_SELLER(200)),
        route(post.clone(), "/v1/options/{option_id}/stock/changes", KeyedBody(change), OWN_SELLER(200)),
        route(get.clone(), "/v1/availability", Query(options), ALL(200)),
        route(get.clone(), "/v1/availability/stream", Query(options), ALL(200)),

        route(post.clone(), "/v1/stores/{store_id}/sales", KeyedBody(sale), OWN_SELLER(201)),
        route(get.clone(), "/v1/sales", Nothing, ALL(200)),
        route(get.clone(), "/v1/sales/{sale_id}", Nothing, ALL(200)),

        route(post.clone(), "/v1/orders", KeyedBody(order), BUYERS(201)),
        route(get.clone(), "/v1/orders", Nothing, BUYERS(200)),
        route(get.clone(), "/v1/orders/{order_id}", Nothing, OWN_BUYER(200)),
        route(post.clone(), "/v1/orders/{order_id}/cancel", Key, OWN_BUYER(200)),
        route(post.clone(), "/v1/orders/{order_id}/payment", KeyedBody(|_, _| json!({"method": "wallet"})), OWN_BUYER(200)),

        route(get.clone(), "/v1/wallet", Nothing, BUYERS(200)),
        route(get.clone(), "/v1/wallet/entries", Nothing, BUYERS(200)),
        route(post.clone(), "/v1/admin/members/{member_id}/credit", KeyedBody(credit), ADMINS(200)),

        route(post.clone(), "/v1/admin/rehearsal/buyers", Body(|_, _| json!({"count": 1, "credit": 10})), ADMINS(200)),
        route(post.clone(), "/v1/admin/rehearsal/noop", KeyedBody(order), BUYERS(201)),
    ]
}

fn buyer(_: &Scene, n: u64) -> Value {
    let email = format!("buyer-{n}@example.com");
    json!({"email": email, "password": "correct horse battery", "name": "김장터", "phone": format!("010-3333-{n:04}")})
}

fn seller(_: &Scene, n: u64) -> Value {
    json!({"email": format!("seller-{n}@example.com"), "password": "correct horse battery", "name": "이상인",
        "phone": format!("010-4444-{n:04}"), "business_name": "장터상회"})
}

fn log_in(scene: &Scene, _: u64) -> Value {
    json!({"email": scene.email, "password": PASSWORD})
}

fn item(scene: &Scene, n: u64) -> Value {
    let option = json!({"name": "3 kg", "price": 1_000, "stock": 5, "limit_per_member": 3, "limit_days": 1});
    json!({"name": format!("물건 {n}"), "description": "**좋다**", "category_id": scene.category, "on_sale": true,
        "hidden": false, "options": [option]})
}

fn category(scene: &Scene, n: u64) -> Value {
    json!({"name": format!("분류 {n}"), "parent_id": scene.parent})
}

fn change(_: &Scene, _: u64) -> Value {
    json!({"difference": 5, "reason": "restock", "note": "손으로 셈"})
}

fn options(scene: &Scene) -> String {
    format!("options={}", scene.shelf.option)
}

fn sale(scene: &Scene, _: u64) -> Value {
    json!({"name": "드롭", "opens_at": "2090-01-01T00:00:00Z", "closes_at": "2090-01-02T00:00:00+09:00",
        "limit_per_member": 2, "lines": [{"option_id": scene.shelf.option, "quantity": 1, "price": 900}]})
}

fn order(scene: &Scene, _: u64) -> Value {
    json!({"lines": [{"option_id": scene.shelf.option, "quantity": 1}], "total": {"amount": 1_000, "currency": "KRW"}})
}

fn credit(_: &Scene, _: u64) -> Value {
    json!({"amount": {"amount": 10, "currency": "KRW"}, "reason": "선물"})
}

const PASSWORD: &str = "correct horse battery";

/// The people of the table.
pub struct People {
    nobody: Actor,
    unverified: Actor,
    pub buyer: Actor,
    other_buyer: Actor,
    pub seller: Actor,
    other_seller: Actor,
    pub admin: Actor,
    /// Somebody who can log in, and has a refresh token that was not used yet.
    email: String,
    refresh_token: String,
}

impl People {
    pub async fn gather(app: &App) -> Self {
        let (_, email) = app.with_password(Role::Buyer, PASSWORD).await;
        let refresh_token = app.anon().log_in(&email, PASSWORD).await.refresh_token.expose().to_owned();
        Self {
            nobody: app.anon(),
            unverified: app.unverified(Role::Buyer).await,
            buyer: app.rich_buyer(1_000_000).await,
            other_buyer: app.buyer().await,
            seller: app.seller().await,
            other_seller: app.seller().await,
            admin: app.another_admin().await,
            email,
            refresh_token,
        }
    }

    /// In the order of [`ACTORS`].
    pub fn all(&self) -> [&Actor; 7] {
        let Self { nobody, unverified, buyer, other_buyer, seller, other_seller, admin, .. } = self;
        [nobody, unverified, buyer, other_buyer, seller, other_seller, admin]
    }

    /// Somebody who may do it.
    pub fn allowed(&self, route: &Route) -> &Actor {
        let index = route.expected.iter().position(|status| *status < 400 || *status == 422);
        self.all()[index.expect("somebody may")]
    }
}

/// What the requests are about: things of [`People::buyer`] and [`People::seller`].
pub struct Scene {
    shelf: Shelf,
    sale: Sale,
    order: OrderId,
    /// Without items, below `parent`.
    category: CategoryId,
    parent: CategoryId,
    email: String,
    refresh_token: String,
}

impl Scene {
    pub async fn set(app: &App, people: &People) -> Self {
        let parent = app.category().await;
        let body = json!({"name": format!("분류 {}", app.number()), "parent_id": parent});
        let category: Category = people.admin.post("/v1/categories", &body).send().await.expect(201).get();
        let store: Store = people.seller.open_store(&format!("장터상회 {}", app.number())).await;
        let option = json!({"name": "3 kg", "price": 1_000, "stock": 100});
        let body = json!({"name": "햇사과", "category_id": parent, "options": [option]});
        let item: Item = people.seller.create_item(store.id, &body).await;
        app.settle().await;
        let option = item.options[0].id;
        let shelf = Shelf { seller: people.seller.clone(), store, item, option, price: 1_000 };
        let drop = json!({"name": "드롭", "opens_at": "2090-01-01T00:00:00Z", "closes_at": "2090-01-02T00:00:00Z",
            "lines": [{"option_id": option, "quantity": 1, "price": 900}]});
        let path = format!("/v1/stores/{}/sales", shelf.store.id);
        let sale: Sale = people.seller.post(&path, &drop).key(&unique(app)).send().await.expect(201).get();
        let placed = people.buyer.order(&unique(app), &[Line::of(option, 1)], 1_000).send().await.expect(201);
        let (email, refresh_token) = (people.email.clone(), people.refresh_token.clone());
        let order = placed.get::<Placed>().order_id;
        Self { shelf, sale, order, category: category.id, parent, email, refresh_token }
    }

    /// `path` with its ids filled in.
    pub fn fill(&self, path: &str) -> String {
        [
            ("{store_id}", self.shelf.store.id.to_string()),
            ("{item_id}", self.shelf.item.id.to_string()),
            ("{option_id}", self.shelf.option.to_string()),
            ("{category_id}", self.category.to_string()),
            ("{sale_id}", self.sale.id.to_string()),
            ("{order_id}", self.order.to_string()),
            // Somebody whose wallet no other test line looks at.
            ("{member_id}", self.shelf.seller.id.to_string()),
        ]
        .into_iter()
        .fold(path.to_owned(), |path, (name, id)| path.replace(name, &id))
    }

    /// A good request, new each time.
    pub fn request(&self, app: &App, actor: &Actor, route: &Route) -> Ask {
        let path = self.fill(route.path);
        let ask = match route.takes {
            Query(query) => actor.ask(route.method.clone(), &format!("{path}?{}", query(self))),
            _ => actor.ask(route.method.clone(), &path),
        };
        match route.takes {
            Nothing | Query(_) => ask,
            Form(form) => ask.raw("application/x-www-form-urlencoded", form),
            Body(body) => ask.json(&body(self, app.number())),
            Key => ask.key(&unique(app)),
            KeyedBody(body) => ask.json(&body(self, app.number())).key(&unique(app)),
        }
    }

    /// The body of a good request.
    pub fn body(&self, app: &App, route: &Route) -> Option<Value> {
        match route.takes {
            Body(body) | KeyedBody(body) => Some(body(self, app.number())),
            Nothing | Key | Query(_) | Form(_) => None,
        }
    }
}

fn unique(app: &App) -> String {
    format!("key-{}", app.number())
}
