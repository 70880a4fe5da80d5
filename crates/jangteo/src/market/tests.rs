//! A market opened, used, drained and opened again, in both forms.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use contract::IdempotencyKey;
use contract::member::{Enroll, Person};
use contract::payment::{CreditBody, CreditWallet};
use kit::id::MemberId;
use kit::{Code, Ctx, Currency, Money, Personal, Role, SystemIds};

use super::*;

fn config() -> Config {
    let mut config = Config::load(None).expect("defaults");
    config.server.listen = "127.0.0.1:0".parse().expect("address");
    config
}

async fn open(data: &Path, form: Form) -> Market {
    Market::start(&config(), data, form, &Surroundings::default()).await.expect("a market")
}

/// The status that a GET over a real connection is answered with.
async fn get(address: SocketAddr, path: &'static str) -> Option<u16> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    });
    asked.await.expect("thread").ok()?.split(' ').nth(1)?.parse().ok()
}

async fn enroll(market: &Market) -> MemberId {
    let person = Person {
        email: Personal::new("kim@example.com"),
        name: Personal::new("Kim"),
        phone: None,
        business_name: None,
        password: None,
    };
    let request = Enroll { role: Role::Buyer, people: vec![person], tokens: false };
    let enrolled = market.clients().member.enroll(&Ctx::internal(&SystemIds), request).await.expect("enrolled");
    enrolled[0].id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_keeps_what_it_was_told_in_both_forms() {
    for form in [Form::Local, Form::Wire] {
        let dir = tempfile::tempdir().expect("folder");
        let ctx = Ctx::internal(&SystemIds);
        let market = open(dir.path(), form).await;
        let kim = enroll(&market).await;
        let request = CreditWallet {
            admin: kim,
            member: kim,
            key: IdempotencyKey::parse("k").expect("key"),
            body: CreditBody { amount: Money::new(700, Currency::KRW), reason: "gift".into() },
        };
        market.clients().payment.credit_wallet(&ctx, request).await.expect("credit");
        market.stop().await.expect("stopped");

        let market = open(dir.path(), form).await;
        assert_eq!(enroll(&market).await, kim);
        let wallet = market.clients().payment.wallet(&ctx, kim).await.expect("wallet");
        assert_eq!(wallet.balance.amount, 700);
        let unknown = market.clients().member.me(&ctx, MemberId(uuid::Uuid::nil())).await.expect_err("nobody");
        assert_eq!(unknown.code, Code::NotFound);
        assert_eq!(market.backlog().await.expect("backlog"), Backlog { events: 0, payments: 0 });
        market.stop().await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_it_is_said_to_be_and_gone_after_a_drain() {
    let dir = tempfile::tempdir().expect("folder");
    let market = open(dir.path(), Form::Local).await;
    let address = market.address();
    assert_eq!(market.url(), format!("http://{address}"));
    assert_eq!(get(address, "/healthz").await, Some(200));
    assert_eq!(get(address, "/readyz").await, Some(503));
    market.set_ready(true);
    assert_eq!(get(address, "/readyz").await, Some(200));
    market.stop().await.expect("stopped");
    assert_eq!(get(address, "/healthz").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invariant_of_the_audit_is_looked_at_beside_a_running_market() {
    let dir = tempfile::tempdir().expect("folder");
    let market = open(dir.path(), Form::Local).await;
    let checks = crate::audit::run(&config().source(dir.path())).await.expect("audit");
    assert!(crate::audit::holds(&checks), "{}", crate::audit::text(&checks));
    for invariant in ["I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9", "I10", "I12", "I13"] {
        assert!(checks.iter().any(|check| check.invariant == invariant), "{invariant}");
    }
    market.stop().await.expect("stopped");
}

#[tokio::test]
async fn there_is_nothing_to_audit_in_an_empty_folder() {
    let dir = tempfile::tempdir().expect("folder");
    let refused = crate::audit::run(&config().source(dir.path())).await.expect_err("nothing there");
    assert!(format!("{refused:#}").contains("there is no market to audit here"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("folder").count(), 0, "looking must not make anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_master_key_is_said_and_no_new_one_is_made() {
    let dir = tempfile::tempdir().expect("folder");
    open(dir.path(), Form::Local).await.stop().await.expect("stopped");
    std::fs::remove_file(dir.path().join("master.key")).expect("the key");
    let refused = Market::start(&config(), dir.path(), Form::Local, &Surroundings::default()).await;
    assert!(refused.err().expect("refused").to_string().contains("master.key is missing"));
    assert!(!dir.path().join("master.key").exists());
}
