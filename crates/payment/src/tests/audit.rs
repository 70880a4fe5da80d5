//! The audit finds what it is there to find.

use db::Db;
use db::sea_orm::ConnectionTrait as _;

use super::{Bench, member};

async fn run(db: &Db, sql: &str) {
    let txn = db.begin().await.expect("begin");
    txn.execute_unprepared(sql).await.expect(sql);
    db.commit(txn).await.expect("commit");
}

async fn broken(db: &Db) -> Vec<String> {
    let checks = crate::audit(db).await.expect("audit");
    checks.into_iter().filter(|check| !check.breaches.is_empty()).map(|check| check.rule).collect()
}

#[tokio::test]
async fn tampering_is_found_by_the_rule_it_breaks() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let kim = member();
        bench.credit(&service, kim, 5_000, "c").await.expect("credit");
        let order = bench.judge.hold(kim, 1_000);
        bench.pay(&service, kim, order, "k").await.expect("paid");
        let db = service.database();
        assert_eq!(broken(db).await, Vec::<String>::new());
        for (tamper, heal, rule) in [
            (
                "UPDATE entry SET amount_minor = amount_minor + 1 WHERE amount_minor = 5000",
                "UPDATE entry SET amount_minor = amount_minor - 1 WHERE amount_minor = 5001",
                "sums to zero",
            ),
            (
                "UPDATE account SET balance_minor = balance_minor + 1 WHERE kind = 'wallet'",
                "UPDATE account SET balance_minor = balance_minor - 1 WHERE kind = 'wallet'",
                "sum of its entries",
            ),
            (
                "UPDATE account SET balance_minor = balance_minor + 1 WHERE kind = 'clearing'",
                "UPDATE account SET balance_minor = balance_minor - 1 WHERE kind = 'clearing'",
                "clearing",
            ),
            (
                "UPDATE entry SET balance_after_minor = -1 WHERE balance_after_minor = 4000",
                "UPDATE entry SET balance_after_minor = 4000 WHERE balance_after_minor = -1",
                "below zero",
            ),
            ("UPDATE attempt SET state = 'refused'", "UPDATE attempt SET state = 'done'", "the money its state says"),
            (
                "UPDATE attempt SET state = 'started', amount_minor = 0",
                "UPDATE attempt SET state = 'done', amount_minor = 1000",
                "an end exactly",
            ),
        ] {
            run(db, tamper).await;
            let found = broken(db).await;
            assert!(found.iter().any(|broken| broken.contains(rule)), "{tamper}: {found:?}");
            run(db, heal).await;
            assert_eq!(broken(db).await, Vec::<String>::new(), "{heal}");
        }
    }
}

#[tokio::test]
async fn the_database_itself_refuses_a_wallet_below_zero() {
    for bench in Bench::all() {
        let service = bench.service().await;
        bench.credit(&service, member(), 100, "c").await.expect("credit");
        let txn = service.database().begin().await.expect("begin");
        let below = txn.execute_unprepared("UPDATE account SET balance_minor = -1 WHERE kind = 'wallet'").await;
        assert!(below.is_err());
    }
}
