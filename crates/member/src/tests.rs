//! The service on a real database: SQLite in a folder of the test's own, or PostgreSQL when `JANGTEO_TEST_POSTGRES`
//! holds the URL of one.

mod account;
mod at_rest;
mod enroll;
mod mail;
mod session;

use std::sync::Arc;

use contract::member::{Login, LoginBody, Member as _, Person, SignUp, SignUpBuyer, SignUpSeller, Tokens, VerifyEmail};
use db::sea_orm::{ConnectionTrait as _, Value};
use db::{Db, Source, statement};
use kit::jwt::{Claims, KeySet};
use kit::{Clock as _, Ctx, Fault, ManualClock, Personal, Result, Secret, SystemIds};

use crate::{Deps, MasterKey, Service, Settings};

const PASSWORD: &str = "correct horse battery";
const HOME: &str = "192.0.2.1";

/// A member service with its surroundings.
struct Town {
    service: Arc<Service>,
    clock: ManualClock,
    kv: kv::Shared,
    db: Db,
    ctx: Ctx,
    settings: Settings,
    _folder: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let db = Db::open(&source(&folder), "member", &db::Settings::default()).await.expect("database");
        let (clock, kv): (_, kv::Shared) = (ManualClock::default(), Arc::new(kv::Memory::new()));
        let service = start(&db, &kv, &clock, &settings).await;
        Self { service, clock, kv, db, ctx: Ctx::internal(&SystemIds), settings, _folder: folder }
    }

    /// Another process on the same database, with shared memory of its own.
    async fn restarted(&self) -> (Arc<Service>, kv::Shared) {
        let kv: kv::Shared = Arc::new(kv::Memory::new());
        (start(&self.db, &kv, &self.clock, &self.settings).await, kv)
    }

    async fn sign_up(&self, email: &str, phone: &str) -> Result<()> {
        self.service.sign_up(&self.ctx, buyer(email, phone)).await
    }

    /// A verified buyer.
    async fn buyer(&self, email: &str, phone: &str) {
        self.sign_up(email, phone).await.expect("signed up");
        self.verify(&self.token_for(email).await).await.expect("verified");
    }

    async fn verify(&self, token: &str) -> Result<()> {
        self.service.verify_email(&self.ctx, VerifyEmail { token: Secret::new(token) }).await
    }

    async fn login(&self, email: &str, password: &str) -> Result<Tokens> {
        self.login_from(email, password, HOME).await
    }

    async fn login_from(&self, email: &str, password: &str, address: &str) -> Result<Tokens> {
        let body = LoginBody { email: Personal::new(email), password: Secret::new(password) };
        let login = Login { body, address: Personal::new(address), device: Personal::new("a telephone") };
        self.service.login(&self.ctx, login).await
    }

    /// What an access token says, judged as the edge does.
    async fn claims(&self, token: &Secret) -> Result<Claims> {
        let keys = self.service.keys(&self.ctx, ()).await?.keys;
        KeySet::new(&keys, "jangteo", "jangteo")?.verify(token.expose(), self.clock.now())
    }

    /// Texts of the mails an address got, newest first.
    async fn mails_to(&self, email: &str) -> Vec<String> {
        let all = self.service.mailbox(&self.ctx, ()).await.expect("mailbox");
        all.into_iter().filter(|m| m.to.expose() == email).map(|m| m.text.expose().to_owned()).collect()
    }

    /// The token of the newest verification mail.
    async fn token_for(&self, email: &str) -> String {
        token_in(&self.mails_to(email).await[0])
    }

    async fn execute(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> u64 {
        let txn = self.db.begin().await.expect("begin");
        let done = txn.execute_raw(statement(&txn, sql, values)).await.expect("statement");
        self.db.commit(txn).await.expect("commit");
        done.rows_affected()
    }

    async fn count(&self, sql: &str) -> i64 {
        let row = self.db.read().query_one_raw(statement(self.db.read(), sql, [])).await.expect("query");
        row.expect("row").try_get_by_index(0).expect("number")
    }
}

async fn start(db: &Db, kv: &kv::Shared, clock: &ManualClock, settings: &Settings) -> Arc<Service> {
    let deps = Deps {
        db: db.clone(),
        kv: kv.clone(),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(SystemIds),
        settings: settings.clone(),
        master_key: MasterKey::from_hex(&"5a".repeat(32)).expect("key"),
    };
    Service::start(deps).await.expect("started")
}

fn source(folder: &tempfile::TempDir) -> Source {
    use kit::Ids as _;
    match std::env::var("JANGTEO_TEST_POSTGRES") {
        Ok(url) => Source::Postgres { url, replica: None, prefix: format!("t{}", SystemIds.next().simple()) },
        Err(_) => Source::Sqlite { dir: folder.path().to_owned() },
    }
}

fn buyer(email: &str, phone: &str) -> SignUp {
    SignUp::Buyer(SignUpBuyer {
        email: Personal::new(email),
        password: Secret::new(PASSWORD),
        name: Personal::new("김장터"),
        phone: Personal::new(phone),
    })
}

fn seller(email: &str, phone: &str) -> SignUp {
    SignUp::Seller(SignUpSeller {
        email: Personal::new(email),
        password: Secret::new(PASSWORD),
        name: Personal::new("이상인"),
        phone: Personal::new(phone),
        business_name: " 장터상회 ".into(),
    })
}

fn person(email: &str) -> Person {
    let (email, name) = (Personal::new(email), Personal::new("박손님"));
    Person { email, name, phone: None, business_name: None, password: None }
}

fn token_in(text: &str) -> String {
    let after = text.split("/verify?token=").nth(1).expect("a link");
    after.lines().next().expect("a token").to_owned()
}

/// The field a fault is about, and why.
fn field(fault: &Fault) -> (&str, &str) {
    (&fault.fields[0].pointer, &fault.fields[0].reason)
}
