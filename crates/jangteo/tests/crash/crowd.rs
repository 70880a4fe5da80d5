//! Buyers who remember every answer they got, and hold the market to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use contract::catalog::{Category, Item, Store};
use contract::member::Tokens;
use contract::order::{OrderState, OrderView, Placed};
use contract::payment::Wallet;
use futures_util::future::join_all;
use http::Method;
use kit::Page;
use kit::id::{OptionId, OrderId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Ask, Http, Lost, Reply};
use crate::server::{ADMIN_EMAIL, ADMIN_PASSWORD};

const BUYERS: usize = 24;
/// What each has in the wallet.
const CREDIT: i64 = 10_000_000;
const PRICE: i64 = 100;
/// An option of which nobody may have more.
const LIMIT: i64 = 9;
/// An option that is sold out soon.
const SCARCE: i64 = 150;
const POLL: Duration = Duration::from_millis(10);
/// What is under way is waited for so long: on PostgreSQL a payment belongs to the process that died until its lease
/// has run out.
const DECIDED_WITHIN: Duration = Duration::from_secs(40);

pub struct Crowd {
    options: Vec<OptionId>,
    buyers: Vec<Buyer>,
}

struct Buyer {
    token: String,
    requests: usize,
    /// Requests without an answer, by key.
    unanswered: BTreeMap<String, Request>,
    /// Orders that were acknowledged, by key.
    placed: BTreeMap<String, (Request, Reply)>,
    /// Keys of orders that were definitely refused.
    refused: BTreeSet<String>,
    paid: BTreeSet<OrderId>,
    cancelled: BTreeSet<OrderId>,
    /// Keys of orders that have been compared.
    compared: BTreeSet<String>,
}

#[derive(Clone)]
enum Request {
    Place(Value),
    Pay(OrderId),
    Cancel(OrderId),
}

/// Whether payments that were under way when the process died are waited for.
#[derive(Clone, Copy, PartialEq)]
enum Payments {
    MayRun,
    End,
}

#[derive(Deserialize)]
struct Guests {
    buyers: Vec<Guest>,
}

#[derive(Deserialize)]
struct Guest {
    access_token: String,
}

impl Crowd {
    /// A shop with options of all kinds, and buyers with money.
    pub async fn gather(http: &Http) -> Self {
        let log_in = json!({"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD});
        let admin = tokens(http.ask(Method::POST, "/v1/sessions").json(&log_in).send().await);
        let seller = seller(http).await;
        let post = async |token: &str, path: &str, body: Value| {
            http.ask(Method::POST, path).token(token).json(&body).send().await
        };
        let category: Category = post(&admin, "/v1/categories", json!({"name": "모두"})).await.expect(201).get();
        let store: Store = post(&seller, "/v1/stores", json!({"name": "장터상회"})).await.expect(201).get();
        let options = json!([
            {"name": "많음", "price": PRICE, "stock": 1_000_000},
            {"name": "적음", "price": PRICE, "stock": SCARCE},
            {"name": "한정", "price": PRICE, "stock": 1_000_000, "limit_per_member": LIMIT},
        ]);
        let item = json!({"name": "물건", "category_id": category.id, "options": options});
        let item: Item = post(&seller, &format!("/v1/stores/{}/items", store.id), item).await.expect(201).get();
        let options: Vec<OptionId> = item.options.iter().map(|option| option.id).collect();
        let known = || http.ask(Method::GET, &format!("/v1/options/{}/stock", options[2])).token(&seller);
        while known().send().await.status != 200 {
            tokio::time::sleep(POLL).await;
        }
        let crowd = json!({"count": BUYERS, "credit": CREDIT});
        let guests: Guests = post(&admin, "/v1/admin/rehearsal/buyers", crowd).await.expect(200).get();
        Self { options, buyers: guests.buyers.into_iter().map(Buyer::new).collect() }
    }

    /// Everybody orders, pays and cancels, until the market is gone.
    pub async fn press_until_lost(&mut self, http: &Http) {
        let options = &self.options;
        join_all(self.buyers.iter_mut().map(|buyer| buyer.press_until_lost(http, options))).await;
    }

    /// One request of everybody. Whether any was served, and the codes of refusals.
    pub async fn press_once(&mut self, http: &Http) -> Vec<Reply> {
        let option = self.options[0];
        join_all(self.buyers.iter_mut().map(|buyer| buyer.press_once(http, option))).await
    }

    /// Asks again whatever was not answered (of payments only those that end at once), and compares what was said
    /// since the last time with what is there.
    pub async fn compare(&mut self, http: &Http) {
        join_all(self.buyers.iter_mut().map(|buyer| buyer.compare(http, Payments::MayRun))).await;
    }

    /// Compares all that was ever said, once everything has ended.
    pub async fn compare_everything(&mut self, http: &Http) {
        self.buyers.iter_mut().for_each(|buyer| buyer.compared.clear());
        join_all(self.buyers.iter_mut().map(|buyer| buyer.compare(http, Payments::End))).await;
        join_all(self.buyers.iter().map(|buyer| buyer.compare_money(http))).await;
        let said = self.buyers.iter().map(|buyer| buyer.placed.len()).sum::<usize>();
        let paid = self.buyers.iter().map(|buyer| buyer.paid.len()).sum::<usize>();
        let refused = self.buyers.iter().map(|buyer| buyer.refused.len()).sum::<usize>();
        eprintln!("{said} orders, {paid} paid, {refused} refused");
        assert!(said > BUYERS && paid > 0, "hardly anything happened: {said} orders, {paid} paid");
    }

    /// Reads an order that was acknowledged.
    pub async fn read_one(&self, http: &Http) -> Reply {
        let buyer = self.buyers.iter().find(|buyer| !buyer.placed.is_empty()).expect("somebody was served");
        let order = buyer.placed.values().next().expect("an order").1.get::<Placed>().order_id;
        buyer.ask(http, Method::GET, &format!("/v1/orders/{order}")).send().await
    }
}

impl Buyer {
    fn new(guest: Guest) -> Self {
        Self {
            token: guest.access_token,
            requests: 0,
            unanswered: BTreeMap::new(),
            placed: BTreeMap::new(),
            refused: BTreeSet::new(),
            paid: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            compared: BTreeSet::new(),
        }
    }

    fn ask(&self, http: &Http, method: Method, path: &str) -> Ask {
        http.ask(method, path).token(&self.token)
    }

    async fn press_until_lost(&mut self, http: &Http, options: &[OptionId]) {
        loop {
            let request = Request::Place(order(options, self.requests));
            let placed = match self.send(http, request).await {
                Ok(reply) if reply.status == 201 => reply.get::<Placed>(),
                Ok(_) => continue,
                Err(Lost) => return,
            };
            let next = match self.requests % 4 {
                0 => continue,
                1 => Request::Cancel(placed.order_id),
                _ => Request::Pay(placed.order_id),
            };
            if self.send(http, next).await.is_err() {
                return;
            }
        }
    }

    async fn press_once(&mut self, http: &Http, option: OptionId) -> Reply {
        let reply = self.send(http, Request::Place(order(&[option], 0))).await;
        reply.expect("the market is there")
    }

    /// A new request under a new key. What was said is remembered, and also that nothing was.
    async fn send(&mut self, http: &Http, request: Request) -> Result<Reply, Lost> {
        self.requests += 1;
        let key = format!("k{}", self.requests);
        self.unanswered.insert(key.clone(), request.clone());
        let reply = self.asked(http, &key, &request).try_send().await?;
        // What is not known and what is not possible now may be asked again.
        if reply.status != 503 {
            self.note(key, request, &reply);
        }
        Ok(reply)
    }

    fn asked(&self, http: &Http, key: &str, request: &Request) -> Ask {
        let ask = match request {
            Request::Place(body) => self.ask(http, Method::POST, "/v1/orders").json(body),
            Request::Pay(order) => {
                let path = format!("/v1/orders/{order}/payment");
                self.ask(http, Method::POST, &path).json(&json!({"method": "wallet"}))
            }
            Request::Cancel(order) => self.ask(http, Method::POST, &format!("/v1/orders/{order}/cancel")),
        };
        ask.key(key)
    }

    fn note(&mut self, key: String, request: Request, reply: &Reply) {
        self.unanswered.remove(&key);
        match (&request, reply.status) {
            (Request::Place(_), 201) => {
                self.placed.insert(key, (request, reply.clone()));
            }
            (Request::Place(_), _) => {
                assert!(matches!(&*reply.code(), "sold_out" | "over_limit"), "{reply:?}");
                self.refused.insert(key);
            }
            (Request::Pay(order), 200) => {
                self.paid.insert(*order);
            }
            (Request::Cancel(order), 200) => {
                self.cancelled.insert(*order);
            }
            // The hold may have run out meanwhile.
            (Request::Pay(_) | Request::Cancel(_), _) => {
                assert!(matches!(&*reply.code(), "hold_ended" | "illegal_move"), "{reply:?}");
            }
        }
    }

    async fn compare(&mut self, http: &Http, payments: Payments) {
        for (key, request) in self.unanswered.clone() {
            let patience = match (&request, payments) {
                (Request::Pay(_), Payments::MayRun) => Duration::ZERO,
                _ => DECIDED_WITHIN,
            };
            if let Some(reply) = self.ask_again(http, &key, &request, patience).await {
                self.note(key, request, &reply);
            }
        }
        if payments == Payments::End {
            assert!(self.unanswered.is_empty(), "{:?} are not answered", self.unanswered.keys());
        }
        let mut orders = BTreeMap::new();
        for view in self.orders(http).await {
            assert!(orders.insert(view.id, view).is_none(), "an order is listed twice");
        }
        let known: BTreeSet<OrderId> = self.placed.values().map(|(_, reply)| reply.get::<Placed>().order_id).collect();
        assert_eq!(known.len(), self.placed.len(), "two keys got one order");
        let there: BTreeSet<OrderId> = orders.keys().copied().collect();
        let lost: Vec<_> = known.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged orders are lost, such as {:?}",
            lost.len(),
            known.len(),
            lost[0]
        );
        let surplus: Vec<_> = there.difference(&known).collect();
        assert!(surplus.is_empty(), "nobody was told of these orders: {surplus:?}");
        for (key, (request, reply)) in &self.placed {
            let receipt: Placed = reply.get();
            let view = &orders[&receipt.order_id];
            self.assert_kept(view, &receipt);
            if self.compared.insert(key.clone()) {
                let again = self.ask_again(http, key, request, DECIDED_WITHIN).await.expect("an answer");
                assert!(again.is_replayed(), "{again:?}");
                assert_eq!(again.body, reply.body, "the same answer, to the byte");
            }
        }
    }

    fn assert_kept(&self, view: &OrderView, receipt: &Placed) {
        assert_eq!((view.total, view.placed_at), (receipt.total, receipt.placed_at), "{view:?}");
        assert_eq!(view.lines.len(), receipt.lines.len());
        for (seen, told) in view.lines.iter().zip(&receipt.lines) {
            let seen = (seen.option_id, seen.quantity, seen.unit_price);
            assert_eq!(seen, (told.option_id, told.quantity, told.unit_price));
        }
        if self.paid.contains(&view.id) {
            assert_eq!(view.state, OrderState::Paid, "{view:?}");
        }
        if self.cancelled.contains(&view.id) {
            assert_eq!(view.state, OrderState::Cancelled, "{view:?}");
        }
    }

    /// What was taken from the wallet is what the paid orders cost.
    async fn compare_money(&self, http: &Http) {
        let orders = self.orders(http).await;
        assert!(orders.iter().all(|order| !order.payment_running), "a payment does not end");
        let paid = orders.iter().filter(|order| order.state == OrderState::Paid);
        let spent: i64 = paid.map(|order| order.total.amount).sum();
        let wallet: Wallet = self.ask(http, Method::GET, "/v1/wallet").send().await.expect(200).get();
        assert_eq!(wallet.balance.amount, CREDIT - spent);
    }

    /// Asks until it is decided, or `patience` is over.
    async fn ask_again(&self, http: &Http, key: &str, request: &Request, patience: Duration) -> Option<Reply> {
        let begun = Instant::now();
        loop {
            let reply = self.asked(http, key, request).send().await;
            let undecided = ["idempotency_in_progress", "payment_running"].contains(&&*reply.code());
            if reply.status != 503 && !undecided {
                return Some(reply);
            }
            if begun.elapsed() >= patience {
                return None;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// All orders, page by page.
    async fn orders(&self, http: &Http) -> Vec<OrderView> {
        let mut orders = Vec::new();
        let mut cursor = String::new();
        loop {
            let reply = self.ask(http, Method::GET, &format!("/v1/orders?size=100{cursor}")).send().await.expect(200);
            orders.extend(reply.get::<Page<OrderView>>().items);
            match reply.value()["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return orders,
            }
        }
    }
}

/// The `n`th order of a buyer: of every kind of option, of one line or two.
fn order(options: &[OptionId], n: usize) -> Value {
    let option = |n: usize| options[n % options.len()];
    let mut lines = vec![json!({"option_id": option(n), "quantity": 1 + n % 2})];
    let mut units = 1 + n % 2;
    if n.is_multiple_of(3) {
        lines.push(json!({"option_id": option(n + 1), "quantity": 1}));
        units += 1;
    }
    let total = PRICE * i64::try_from(units).expect("small");
    json!({"lines": lines, "total": {"amount": total, "currency": "KRW"}})
}

/// A seller who signed up, read the mail, and logged in.
async fn seller(http: &Http) -> String {
    let (email, password) = ("seller@example.com", "correct horse battery");
    let person = json!({"email": email, "password": password, "name": "이상인", "phone": "01012345678",
        "business_name": "장터상회"});
    http.ask(Method::POST, "/v1/sellers").json(&person).send().await.expect(202);
    let token = loop {
        let mails = http.ask(Method::GET, "/dev/mail").header("accept", "application/json").send().await;
        let mails = mails.expect(200).value();
        if let Some((_, text)) = mails["items"][0]["text"].as_str().and_then(|text| text.split_once("token=")) {
            break text.split_whitespace().next().expect("a token").to_owned();
        }
        tokio::time::sleep(POLL).await;
    };
    http.ask(Method::POST, "/v1/verification").json(&json!({"token": token})).send().await.expect(204);
    tokens(http.ask(Method::POST, "/v1/sessions").json(&json!({"email": email, "password": password})).send().await)
}

fn tokens(reply: Reply) -> String {
    reply.expect(201).get::<Tokens>().access_token.expose().to_owned()
}
