//! People: each with a token (or none) and words for what people do.

use contract::catalog::{Item, Store};
use contract::member::Tokens;
use contract::order::{OrderView, Placed, Stock};
use http::Method;
use kit::id::{MemberId, OptionId, OrderId, SaleId, StoreId};
use serde_json::{Value, json};

use crate::client::{Ask, Http, Reply};

#[derive(Clone)]
pub struct Actor {
    http: Http,
    pub id: MemberId,
    token: Option<String>,
}

/// A store with one item of one option.
pub struct Shelf {
    pub seller: Actor,
    pub store: Store,
    pub item: Item,
    pub option: OptionId,
    pub price: i64,
}

impl Actor {
    pub fn nobody(http: &Http) -> Self {
        Self { http: http.clone(), id: MemberId(Default::default()), token: None }
    }

    pub fn signed_in(http: &Http, id: MemberId, token: &str) -> Self {
        Self { http: http.clone(), id, token: Some(token.to_owned()) }
    }

    /// The same person, at a market that listens elsewhere now.
    #[must_use]
    pub fn at(self, http: &Http) -> Self {
        Self { http: http.clone(), ..self }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    pub fn ask(&self, method: Method, path: &str) -> Ask {
        let ask = self.http.ask(method, path);
        match &self.token {
            Some(token) => ask.token(token),
            None => ask,
        }
    }

    pub fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::POST, path).json(body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Ask {
        self.ask(Method::PUT, path).json(body)
    }

    pub fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }
}

/// Sellers.
impl Actor {
    pub async fn open_store(&self, name: &str) -> Store {
        self.post("/v1/stores", &json!({"name": name})).send().await.expect(201).get()
    }

    pub async fn create_item(&self, store: StoreId, body: &Value) -> Item {
        self.post(&format!("/v1/stores/{store}/items"), body).send().await.expect(201).get()
    }

    pub async fn stock(&self, option: OptionId) -> Stock {
        self.get(&format!("/v1/options/{option}/stock")).send().await.expect(200).get()
    }
}

/// Buyers.
impl Actor {
    /// Logs in, as a device that is new.
    pub async fn log_in(&self, email: &str, password: &str) -> Tokens {
        self.try_log_in(email, password).await.expect(201).get()
    }

    pub async fn try_log_in(&self, email: &str, password: &str) -> Reply {
        self.post("/v1/sessions", &json!({"email": email, "password": password})).send().await
    }

    /// A request for an order of these lines, at what they cost together.
    pub fn order(&self, key: &str, lines: &[Line], total: i64) -> Ask {
        let lines: Vec<Value> = lines.iter().map(Line::json).collect();
        let body = json!({"lines": lines, "total": {"amount": total, "currency": "KRW"}});
        self.post("/v1/orders", &body).key(key)
    }

    /// Orders `quantity` from the shelf.
    pub async fn buy(&self, key: &str, shelf: &Shelf, quantity: i64) -> Reply {
        self.order(key, &[Line::of(shelf.option, quantity)], shelf.price * quantity).send().await
    }

    /// Orders `quantity` from the shelf, successfully.
    pub async fn hold(&self, key: &str, shelf: &Shelf, quantity: i64) -> Placed {
        self.buy(key, shelf, quantity).await.expect(201).get()
    }

    pub fn payment(&self, key: &str, order: OrderId) -> Ask {
        self.post(&format!("/v1/orders/{order}/payment"), &json!({"method": "wallet"})).key(key)
    }

    pub fn cancel(&self, key: &str, order: OrderId) -> Ask {
        self.ask(Method::POST, &format!("/v1/orders/{order}/cancel")).key(key)
    }

    pub async fn view(&self, order: OrderId) -> OrderView {
        self.get(&format!("/v1/orders/{order}")).send().await.expect(200).get()
    }

    pub async fn orders(&self) -> Vec<OrderView> {
        let page: kit::Page<OrderView> = self.get("/v1/orders?size=100").send().await.expect(200).get();
        page.items
    }

    pub async fn balance(&self) -> i64 {
        let wallet: contract::payment::Wallet = self.get("/v1/wallet").send().await.expect(200).get();
        wallet.balance.amount
    }
}

/// A line of an order.
#[derive(Clone, Copy)]
pub struct Line {
    pub option: OptionId,
    pub quantity: i64,
    pub sale: Option<SaleId>,
}

impl Line {
    pub fn of(option: OptionId, quantity: i64) -> Self {
        Self { option, quantity, sale: None }
    }

    pub fn in_sale(option: OptionId, quantity: i64, sale: SaleId) -> Self {
        Self { option, quantity, sale: Some(sale) }
    }

    fn json(&self) -> Value {
        match self.sale {
            Some(sale) => json!({"option_id": self.option, "quantity": self.quantity, "sale_id": sale}),
            None => json!({"option_id": self.option, "quantity": self.quantity}),
        }
    }
}
