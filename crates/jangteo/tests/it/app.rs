//! The whole market in this process, on a loopback port, with a clock that the test moves.
//!
//! A test's body is run once per column: {SQLite, and PostgreSQL when `JANGTEO_TEST_POSTGRES` holds its URL} × {service
//! calls are method calls, or go over the wire}. **When an app is closed it asserts** that nothing is left on its way
//! (outboxes empty, no open payment) and that the audits of all services find nothing. One that is not closed has failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use contract::member::{Enroll, Person};
use db::sea_orm::{ConnectionTrait as _, DbBackend};
use db::{Db, Source};
use http::Method;
use jangteo::config::Hidden;
use jangteo::{Config, Form, Market, Surroundings, audit};
use kit::id::{CategoryId, MemberId};
use kit::{Clock as _, Ctx, Ids as _, ManualClock, Millis, Personal, Role, Secret, SystemIds};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::actor::{Actor, Shelf};
use crate::client::{Ask, Http};

/// A test that takes longer hangs.
const TEST_WITHIN: Duration = Duration::from_secs(120);
/// Events, mails and jobs have their effect within this, or something is stuck.
const SETTLE_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);
/// The services, by the names of their databases.
pub const SERVICES: [&str; 4] = ["member", "catalog", "order", "payment"];

/// Where an app keeps its data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Database {
    Sqlite,
    /// On this server, in schemas of the app's own.
    Postgres(String),
}

/// One way to run a test.
#[derive(Clone, Debug)]
pub struct Column {
    pub form: Form,
    pub database: Database,
}

/// Runs `body` on an app of its own per database.
pub async fn in_every_database(form: Form, body: impl AsyncFn(&App)) {
    in_every_bare_column(form, async |column: Column| {
        let app = App::start(&column).await;
        body(&app).await;
        app.close().await;
    })
    .await;
}

/// Runs `body` per database; it starts the app (or apps) itself.
pub async fn in_every_bare_column(form: Form, body: impl AsyncFn(Column)) {
    let postgres = std::env::var("JANGTEO_TEST_POSTGRES").ok().map(Database::Postgres);
    // With RUST_LOG the markets say what they do; it is shown when a test fails.
    let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
    // Another test of this process may have begun to log before.
    let _ = log.with_test_writer().try_init();
    for database in [Some(Database::Sqlite), postgres].into_iter().flatten() {
        // Shown when the test fails.
        eprintln!("column: {form:?}, {}", if database == Database::Sqlite { "SQLite" } else { "PostgreSQL" });
        let finished = tokio::time::timeout(TEST_WITHIN, body(Column { form, database })).await;
        finished.expect("the test hangs");
    }
}

/// The configuration of most tests. Rates are tested where they are the matter, and the clock is moved by more than
/// the life of an access token.
pub fn config() -> Config {
    let mut config = Config::load(None).expect("the defaults");
    config.server.listen = "127.0.0.1:0".parse().expect("address");
    config.limits.rate_limits = false;
    config.limits.drain_seconds = 10.0;
    config.member.access_minutes = 1_440;
    config.rehearsal.enabled = true;
    config.database.connections = 3;
    config
}

/// What every market of these tests finds around it: time that a test moves.
fn around(clock: &ManualClock) -> Surroundings {
    Surroundings { clock: Arc::new(clock.clone()), ids: Arc::new(SystemIds) }
}

pub struct App {
    market: Option<Market>,
    http: Http,
    pub clock: ManualClock,
    config: Config,
    form: Form,
    folder: tempfile::TempDir,
    numbers: AtomicU64,
    admin: OnceCell<Actor>,
    category: OnceCell<CategoryId>,
}

impl App {
    pub async fn start(column: &Column) -> Self {
        Self::with(column, |_| {}).await
    }

    /// With a configuration that differs from [`config`].
    pub async fn with(column: &Column, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        if let Database::Postgres(url) = &column.database {
            config.database.url = Some(Hidden(Secret::new(url.as_str())));
            config.database.prefix = format!("t{}", SystemIds.next().simple());
        }
        change(&mut config);
        let (clock, folder) = (ManualClock::default(), tempfile::tempdir().expect("folder"));
        let market = Market::start(&config, folder.path(), column.form, &around(&clock)).await.expect("market");
        market.set_ready(true);
        let http = Http::to(market.url());
        Self {
            market: Some(market),
            http,
            clock,
            config,
            form: column.form,
            folder,
            numbers: AtomicU64::new(1),
            admin: OnceCell::new(),
            category: OnceCell::new(),
        }
    }

    /// Stops the market, as a signal would.
    pub async fn stop(&mut self) {
        self.market.take().expect("running").stop().await.expect("stopped");
    }

    /// Opens a market that was stopped again, on the same data.
    pub async fn reopen(&mut self) {
        let market = Market::start(&self.config, self.folder.path(), self.form, &around(&self.clock)).await;
        let market = market.expect("market");
        market.set_ready(true);
        self.http = Http::to(market.url());
        if let Some(admin) = self.admin.get_mut() {
            *admin = admin.clone().at(&self.http);
        }
        self.market = Some(market);
    }

    pub fn market(&self) -> &Market {
        self.market.as_ref().expect("running")
    }

    /// Takes the market out, to stop it while others go on using the app.
    pub fn take_market(&mut self) -> Market {
        self.market.take().expect("running")
    }

    pub fn http(&self) -> &Http {
        &self.http
    }

    pub fn source(&self) -> Source {
        self.config.source(self.folder.path())
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    pub fn advance(&self, time: Duration) {
        self.clock.advance_ms(i64::try_from(time.as_millis()).expect("a short time"));
    }

    /// A number that this app has not given out before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until nothing is on its way any more.
    pub async fn settle(&self) {
        self.eventually("nothing is on its way", async || {
            let backlog = self.market().backlog().await.expect("backlog");
            backlog.events == 0 && backlog.payments == 0
        })
        .await;
    }

    /// Waits until `holds`, or fails.
    pub async fn eventually(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < SETTLE_WITHIN, "it does not come about that {what}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Rows of every table of every service.
    pub async fn rows(&self) -> BTreeMap<String, i64> {
        let mut rows = BTreeMap::new();
        for service in SERVICES {
            let db = Db::open_read_only(&self.source(), service).await.expect("database");
            for table in tables(&db).await {
                let count = db::statement(db.read(), format!("SELECT count(*) FROM {table}"), []);
                let count = db.read().query_one_raw(count).await.expect("count").expect("row");
                rows.insert(format!("{service}.{table}"), count.try_get_by_index(0).expect("number"));
            }
            db.close().await.expect("closed");
        }
        rows
    }

    /// Ends the app; what must always hold, holds.
    pub async fn close(mut self) {
        if self.market.is_some() {
            self.settle().await;
            self.stop().await;
        }
        let checks = audit::run(&self.source()).await.expect("audit");
        assert!(audit::holds(&checks), "{}", audit::text(&checks));
        self.drop_schemas().await;
    }

    async fn drop_schemas(&self) {
        let source = self.source();
        let Source::Postgres { prefix, .. } = &source else { return };
        let db = Db::open(&source, SERVICES[0], &db::Settings { sync: true, connections: 2 }).await.expect("database");
        for service in SERVICES {
            let drop = format!("DROP SCHEMA \"{prefix}_{service}\" CASCADE");
            db.read().execute_unprepared(&drop).await.expect("dropped");
        }
        db.close().await.expect("closed");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        assert!(self.market.is_none() || std::thread::panicking(), "a test must close its app");
    }
}

/// People, and things that most tests need.
impl App {
    /// Nobody: a request without a token.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        self.http.ask(method, path)
    }

    pub fn anon(&self) -> Actor {
        Actor::nobody(&self.http)
    }

    /// A verified buyer without money.
    pub async fn buyer(&self) -> Actor {
        self.enrolled(Role::Buyer).await
    }

    pub async fn buyers(&self, count: usize) -> Vec<Actor> {
        let people = (0..count).map(|_| self.person()).collect();
        self.enroll(Role::Buyer, people).await
    }

    /// A verified buyer with `won` in the wallet.
    pub async fn rich_buyer(&self, won: i64) -> Actor {
        let buyer = self.buyer().await;
        self.credit(buyer.id, won).await;
        buyer
    }

    pub async fn seller(&self) -> Actor {
        self.enrolled(Role::Seller).await
    }

    pub async fn admin(&self) -> &Actor {
        self.admin.get_or_init(|| self.enrolled(Role::Admin)).await
    }

    /// One that is not [`Self::admin`].
    pub async fn another_admin(&self) -> Actor {
        self.enrolled(Role::Admin).await
    }

    pub async fn credit(&self, member: MemberId, won: i64) {
        let body = json!({"amount": {"amount": won, "currency": "KRW"}, "reason": "for a test"});
        let path = format!("/v1/admin/members/{member}/credit");
        self.admin().await.post(&path, &body).key(&format!("credit-{}", self.number())).send().await.expect(200);
    }

    /// A category that is there once per app.
    pub async fn category(&self) -> CategoryId {
        let create = async || {
            let created = self.admin().await.post("/v1/categories", &json!({"name": "과일"})).send().await;
            created.expect(201).get::<contract::catalog::Category>().id
        };
        *self.category.get_or_init(create).await
    }

    /// A store of a new seller, with one item of one option: `units` at `price` won.
    pub async fn shelf(&self, units: i64, price: i64) -> Shelf {
        self.shelf_with(json!({"name": "3 kg", "price": price, "stock": units})).await
    }

    /// The same, with all that an option can say.
    pub async fn shelf_with(&self, option: serde_json::Value) -> Shelf {
        let seller = self.seller().await;
        let store = seller.open_store(&format!("장터상회 {}", self.number())).await;
        let body = json!({"name": "햇사과", "category_id": self.category().await, "options": [option]});
        let item = seller.create_item(store.id, &body).await;
        self.settle().await;
        Shelf { option: item.options[0].id, price: item.options[0].price, seller, store, item }
    }

    pub fn person(&self) -> Person {
        Person {
            email: Personal::new(format!("person-{}@example.com", self.number())),
            name: Personal::new("김장터"),
            phone: None,
            business_name: None,
            password: None,
        }
    }

    /// A member with this password, signed in.
    pub async fn with_password(&self, role: Role, password: &str) -> (Actor, String) {
        let person = Person { password: Some(Secret::new(password)), ..self.person() };
        let email = person.email.expose().to_owned();
        let actor = self.enroll(role, vec![person]).await.remove(0);
        (actor, email)
    }

    async fn enrolled(&self, role: Role) -> Actor {
        self.enroll(role, vec![self.person()]).await.remove(0)
    }

    async fn enroll(&self, role: Role, people: Vec<Person>) -> Vec<Actor> {
        let (ctx, request) = (Ctx::internal(&SystemIds), Enroll { role, people, tokens: true });
        let enrolled = self.market().clients().member.enroll(&ctx, request).await.expect("enrolled");
        let actor = |one: contract::member::Enrolled| {
            let token = one.access_token.expect("token");
            Actor::signed_in(&self.http, one.id, token.expose())
        };
        enrolled.into_iter().map(actor).collect()
    }
}

/// Names of the tables of a database.
pub async fn tables(db: &Db) -> Vec<String> {
    let tables = match db.backend() {
        DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        _ => "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = current_schema()",
    };
    let rows = db.read().query_all_raw(db::statement(db.read(), tables, [])).await.expect("tables");
    rows.iter().map(|row| row.try_get_by_index(0).expect("name")).collect()
}

/// The files in a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder");
    entries.map(|entry| entry.expect("entry").path()).filter(|path| path.is_file()).collect()
}
