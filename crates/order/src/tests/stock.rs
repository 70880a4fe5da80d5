//! Stock changes, what a refusal leaves behind, what the audit sees.

use contract::order::{
    ChangeStock, ChangeStockBody, ListStockEntries, Order as _, StockCause, StockQuery, StockReason,
};
use db::sea_orm::ConnectionTrait as _;
use kit::Code;
use kit::id::OptionId;

use super::harness::{Market, key, markets, member};
use crate::service::Settings;

async fn change(market: &Market, option: OptionId, name: &str, difference: i64) -> kit::Result<contract::order::Stock> {
    let body = ChangeStockBody { difference, reason: StockReason::Correction, note: "counted".into() };
    let request = ChangeStock { seller: market.seller, option, key: key(name), body };
    market.service.change_stock(&market.ctx, request).await.map(|once| once.answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_changes_by_differences_and_every_one_is_kept() {
    for market in markets(Settings::default()).await {
        let option = market.option(5).await;
        assert_eq!(change(&market, option, "a", 3).await.expect("more").available, 8);
        assert_eq!(change(&market, option, "a", 3).await.expect("replayed").available, 8);
        let less = change(&market, option, "b", -6).await.expect("less");
        assert_eq!((less.available, less.written_off, less.supplied), (2, 6, 8));
        assert_eq!(change(&market, option, "c", -3).await.expect_err("too many").code, Code::StockTooLow);
        let request = ListStockEntries { seller: market.seller, option, query: StockQuery::default() };
        let entries = market.service.list_stock_entries(&market.ctx, request).await.expect("entries").items;
        let seen: Vec<_> = entries.iter().map(|entry| (entry.cause, entry.quantity)).collect();
        let expected = [(StockCause::Correction, -6), (StockCause::Correction, 3), (StockCause::Initial, 5)];
        assert_eq!(seen, expected);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restock_opens_a_closed_gate_at_once() {
    for market in markets(Settings::default()).await {
        let option = market.option(1).await;
        market.buy(member(), "k", &[(option, 1)]).await.expect("placed");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(market.buy(member(), "k", &[(option, 1)]).await.expect_err("closed").code, Code::SoldOut);
        change(&market, option, "a", 1).await.expect("more");
        market.buy(member(), "k", &[(option, 1)]).await.expect("open");
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_is_told_to_whoever_listens() {
    for market in markets(Settings::default()).await {
        let mut told = market.kv.subscribe(contract::order::TOPIC_AVAILABILITY).await.expect("subscribed");
        let option = market.option(5).await;
        market.buy(member(), "k", &[(option, 2)]).await.expect("placed");
        let last = async {
            loop {
                let text = told.recv().await.expect("text");
                let seen: contract::order::Availability = serde_json::from_str(&text).expect("json");
                if (seen.option_id, seen.available) == (option, 3) {
                    return;
                }
            }
        };
        // The rule is a second; a busy test machine gets more, so that this fails only when nobody is told.
        tokio::time::timeout(std::time::Duration::from_secs(10), last).await.expect("told");
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_writes_nothing() {
    for market in markets(Settings::default()).await {
        let option = market.limited_option(5, Some(1), None).await;
        let kim = member();
        market.buy(kim, "k", &[(option, 1)]).await.expect("placed");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let before = rows(&market).await;
        for n in 0..50 {
            let over = market.buy(kim, &format!("over{n}"), &[(option, 1)]).await.expect_err("limit");
            assert_eq!(over.code, Code::OverLimit);
            let gone = market.buy(member(), "gone", &[(option, 99)]).await.expect_err("limit or stock");
            assert!(matches!(gone.code, Code::OverLimit | Code::SoldOut));
        }
        assert_eq!(rows(&market).await, before);
        market.close().await;
    }
}

/// Rows of every table that a purchase writes.
async fn rows(market: &Market) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["orders", "line", "idempotency", "allowance", "outbox", "stock_entry"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let row = market.db.read().query_one_raw(db::statement(market.db.read(), sql, [])).await.expect("count");
        counts.push(row.expect("row").try_get_by_index::<i64>(0).expect("count"));
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_sees_falsified_rows() {
    let falsehoods = [
        ("I1", "UPDATE stock SET available = available + 1, supplied = supplied + 1"),
        ("I2", "UPDATE line SET quantity = quantity + 1"),
        ("I3", "UPDATE orders SET total_minor = total_minor - 1"),
        ("I3", "DELETE FROM orders"),
        ("I4", "DELETE FROM orders"),
        ("I8", "UPDATE line SET state = 'paid'"),
        (
            "I9",
            "INSERT INTO idempotency SELECT member_id, operation, 'twin', fingerprint, subject_id, answer, \
                created_at_ms FROM idempotency WHERE operation = 1",
        ),
        ("I10", "UPDATE allowance SET used = 0"),
        ("I12", "UPDATE orders SET hold_ended_at_ms = 1"),
    ];
    for (invariant, falsehood) in falsehoods {
        for market in markets(Settings::default()).await {
            let option = market.limited_option(5, Some(2), None).await;
            market.buy(member(), "k", &[(option, 1)]).await.expect("placed");
            let txn = market.db.begin().await.expect("begin");
            txn.execute_unprepared(falsehood).await.expect("falsified");
            market.db.commit(txn).await.expect("commit");
            let checks = crate::audit(&market.db).await.expect("audit");
            let seen = checks.iter().any(|check| check.invariant == invariant && !check.breaches.is_empty());
            assert!(seen, "{invariant} was not seen to be broken by: {falsehood}");
            market.service.stop().await;
        }
    }
}
