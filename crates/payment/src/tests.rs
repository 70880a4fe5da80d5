//! The service on a real database file, and on PostgreSQL when `JANGTEO_TEST_POSTGRES` holds a URL.

mod audit;
mod judge;
mod saga;
mod wallet;

use std::sync::Arc;

use contract::IdempotencyKey;
use contract::idempotency::Once;
use contract::order::OrderClient;
use contract::payment::{CreditBody, CreditWallet, Method, Paid, Pay, PayBody, Payment as _, WalletEntry};
use db::sea_orm::ConnectionTrait as _;
use db::{Db, Settings, Source, statement};
use kit::id::{MemberId, OrderId};
use kit::{Ctx, Currency, Ids as _, ManualClock, Money, Result, SystemIds};

use crate::{Deps, Service};
use judge::Judge;

/// A payment service in front of a judge, and all that survives a crash of it.
struct Bench {
    source: Source,
    _dir: tempfile::TempDir,
    judge: Arc<Judge>,
    clock: ManualClock,
    ctx: Ctx,
}

impl Bench {
    /// One for each database there is.
    fn all() -> Vec<Self> {
        let bench = |postgres: Option<String>| {
            let dir = tempfile::tempdir().expect("a folder");
            let source = match postgres {
                Some(url) => {
                    let prefix = format!("t{}", SystemIds.next().simple());
                    Source::Postgres { url, replica: None, prefix }
                }
                None => Source::Sqlite { dir: dir.path().to_owned() },
            };
            let (judge, clock) = (Judge::new(), ManualClock::default());
            Self { source, _dir: dir, judge, clock, ctx: Ctx::internal(&SystemIds) }
        };
        let mut all = vec![bench(None)];
        all.extend(std::env::var("JANGTEO_TEST_POSTGRES").ok().map(|url| bench(Some(url))));
        all
    }

    async fn deps(&self) -> Deps {
        Deps {
            db: Db::open(&self.source, "payment", &Settings::default()).await.expect("database"),
            order: OrderClient::local(self.judge.clone()),
            clock: Arc::new(self.clock.clone()),
            ids: Arc::new(SystemIds),
            currency: Currency::KRW,
        }
    }

    /// Without the resumer: the test drives.
    async fn service(&self) -> Service {
        Service::open(self.deps().await).await.expect("service")
    }

    async fn credit(&self, service: &Service, member: MemberId, amount: i64, key: &str) -> Result<Once<WalletEntry>> {
        let body = CreditBody { amount: Money::new(amount, Currency::KRW), reason: "gift".into() };
        let key = IdempotencyKey::parse(key).expect("key");
        let admin = MemberId(uuid::Uuid::from_u128(1));
        service.credit_wallet(&self.ctx, CreditWallet { admin, member, key, body }).await
    }

    async fn pay(&self, service: &Service, member: MemberId, order: OrderId, key: &str) -> Result<Once<Paid>> {
        service.pay(&self.ctx, pay_request(member, order, key)).await
    }

    async fn balance(&self, service: &Service, member: MemberId) -> i64 {
        service.wallet(&self.ctx, member).await.expect("wallet").balance.amount
    }

    /// Every invariant holds, and as many attempts are open as expected.
    async fn assert_sound(&self, service: &Service, open_expected: i64) {
        for check in crate::audit(service.database()).await.expect("audit") {
            assert_eq!(check.breaches, Vec::<String>::new(), "{}", check.rule);
        }
        let open = number(service.database(), "SELECT count(*) FROM attempt WHERE ended_at_ms IS NULL").await;
        assert_eq!(open, open_expected, "open attempts");
    }
}

fn member() -> MemberId {
    MemberId(SystemIds.next())
}

fn pay_request(member: MemberId, order: OrderId, key: &str) -> Pay {
    let key = IdempotencyKey::parse(key).expect("key");
    Pay { member, order, key, body: PayBody { method: Method::Wallet } }
}

async fn number(db: &Db, sql: &str) -> i64 {
    let row = db.read().query_one_raw(statement(db.read(), sql, [])).await.expect("query").expect("row");
    row.try_get_by_index(0).expect("number")
}
