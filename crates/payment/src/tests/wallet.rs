//! Wallets: credits, statements, and the exactness of concurrent payments.

use std::time::Duration;

use contract::IdempotencyKey;
use contract::order::OrderState;
use contract::payment::{Cause, CreditBody, CreditWallet, ListWalletEntries, Payment as _, WalletQuery};
use kit::{Code, Currency, Money};

use super::judge::Line;
use super::{Bench, member, number, pay_request};
use crate::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_happens_once_per_key() {
    for bench in Bench::all() {
        let service = std::sync::Arc::new(bench.service().await);
        let kim = member();
        let many = (0..8).map(|_| {
            let (service, ctx) = (service.clone(), bench.ctx.clone());
            tokio::spawn(async move {
                let body = CreditBody { amount: Money::new(500, Currency::KRW), reason: "gift".into() };
                let key = IdempotencyKey::parse("one").expect("key");
                let admin = kit::id::MemberId(uuid::Uuid::from_u128(1));
                service.credit_wallet(&ctx, CreditWallet { admin, member: kim, key, body }).await
            })
        });
        let mut first = 0;
        for task in many.collect::<Vec<_>>() {
            match task.await.expect("task") {
                Ok(once) => first += i32::from(!once.replayed),
                Err(fault) => assert_eq!(fault.code, Code::IdempotencyInProgress),
            }
        }
        assert_eq!(first, 1);
        assert_eq!(bench.balance(&service, kim).await, 500);
        assert!(bench.credit(&service, kim, 500, "one").await.expect("replay").replayed);
        let other = bench.credit(&service, kim, 501, "one").await.expect_err("other body");
        assert_eq!(other.code, Code::IdempotencyKeyReused);
        assert_eq!(bench.balance(&service, kim).await, 500);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn credits_out_of_range_or_in_foreign_money_are_refused() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let kim = member();
        for amount in [0, -1, i64::MIN, i64::MAX, crate::CREDIT_MINOR_MAX + 1] {
            let fault = bench.credit(&service, kim, amount, "k").await.expect_err("range");
            assert_eq!(fault.code, Code::AmountOutOfRange, "{amount}");
        }
        let dollars = Money::new(5, Currency::parse("USD").expect("currency"));
        let request = CreditWallet {
            admin: member(),
            member: kim,
            key: IdempotencyKey::parse("k").expect("key"),
            body: CreditBody { amount: dollars, reason: "gift".into() },
        };
        let fault = service.credit_wallet(&bench.ctx, request).await.expect_err("currency");
        assert_eq!(fault.code, Code::CurrencyMismatch);
        assert_eq!(bench.balance(&service, kim).await, 0);
        assert_eq!(number(service.database(), "SELECT count(*) FROM transfer").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_payments_spend_what_there_is_and_no_more() {
    for bench in Bench::all() {
        let service = std::sync::Arc::new(bench.service().await);
        let kim = member();
        bench.credit(&service, kim, 10_500, "c").await.expect("credit");
        let orders: Vec<_> = (0..20).map(|_| bench.judge.hold(kim, 1_000)).collect();
        let tasks: Vec<_> = orders
            .iter()
            .map(|order| {
                let (service, ctx) = (service.clone(), bench.ctx.clone());
                let request = pay_request(kim, *order, &order.to_string());
                tokio::spawn(async move { service.pay(&ctx, request).await })
            })
            .collect();
        let mut paid = 0;
        for task in tasks {
            match task.await.expect("task") {
                Ok(_) => paid += 1,
                Err(fault) => assert_eq!(fault.code, Code::InsufficientFunds),
            }
        }
        assert_eq!(paid, 10);
        assert_eq!(bench.balance(&service, kim).await, 500);
        let state = |order| bench.judge.find(order).state;
        assert_eq!(orders.iter().filter(|order| state(**order) == OrderState::Paid).count(), 10);
        assert!(orders.iter().all(|order| bench.judge.find(*order).running.is_none()));
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_pays_once_however_often_it_is_sent() {
    for bench in Bench::all() {
        let service = std::sync::Arc::new(bench.service().await);
        let kim = member();
        bench.credit(&service, kim, 5_000, "c").await.expect("credit");
        let order = bench.judge.hold(kim, 1_000);
        bench.judge.set_line(Line::Slow(Duration::from_millis(20)));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (service, ctx) = (service.clone(), bench.ctx.clone());
                tokio::spawn(async move { service.pay(&ctx, pay_request(kim, order, "k")).await })
            })
            .collect();
        let mut first = 0;
        for task in tasks {
            match task.await.expect("task") {
                Ok(once) => first += i32::from(!once.replayed),
                Err(fault) => assert_eq!(fault.code, Code::IdempotencyInProgress),
            }
        }
        assert_eq!(first, 1);
        let again = bench.pay(&service, kim, order, "k").await.expect("replay");
        assert!(again.replayed);
        assert_eq!(again.answer.amount.amount, 1_000);
        let other = bench.judge.hold(kim, 1_000);
        let reused = bench.pay(&service, kim, other, "k").await.expect_err("other order");
        assert_eq!(reused.code, Code::IdempotencyKeyReused);
        let second = bench.pay(&service, kim, order, "k2").await.expect_err("paid already");
        assert_eq!(second.code, Code::IllegalMove);
        assert_eq!(bench.balance(&service, kim).await, 4_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn a_short_wallet_is_refused_and_the_hold_runs_on() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let kim = member();
        let order = bench.judge.hold(kim, 1_000);
        let fault = bench.pay(&service, kim, order, "k").await.expect_err("empty wallet");
        assert_eq!(fault.code, Code::InsufficientFunds);
        let facts = fault.facts.expect("facts");
        assert_eq!((facts["balance"]["amount"].as_i64(), facts["amount"]["amount"].as_i64()), (Some(0), Some(1_000)));
        let hold = bench.judge.find(order);
        assert_eq!((hold.state, hold.running), (OrderState::Held, None));
        // A refusal leaves no record: with money in the wallet the same key is decided anew.
        bench.credit(&service, kim, 1_000, "c").await.expect("credit");
        assert!(!bench.pay(&service, kim, order, "k").await.expect("paid").replayed);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_payable_from_an_empty_wallet() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let kim = member();
        let order = bench.judge.hold(kim, 0);
        assert_eq!(bench.pay(&service, kim, order, "k").await.expect("paid").answer.amount.amount, 0);
        assert_eq!(bench.judge.find(order).state, OrderState::Paid);
        assert_eq!(number(service.database(), "SELECT count(*) FROM entry").await, 0);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn foreign_and_unknown_orders_are_not_found() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, lee) = (member(), member());
        bench.credit(&service, lee, 1_000, "c").await.expect("credit");
        let order = bench.judge.hold(kim, 1_000);
        let unknown = kit::id::OrderId(kit::Ids::next(&kit::SystemIds));
        for order in [order, unknown] {
            let fault = bench.pay(&service, lee, order, &order.to_string()).await.expect_err("not lee's");
            assert_eq!(fault.code, Code::NotFound);
        }
        assert_eq!(bench.balance(&service, lee).await, 1_000);
        bench.assert_sound(&service, 0).await;
    }
}

#[tokio::test]
async fn the_statement_pages_newest_first_without_gaps() {
    for bench in Bench::all() {
        let service = bench.service().await;
        let (kim, lee) = (member(), member());
        for n in 1..=5 {
            bench.credit(&service, kim, n * 100, &format!("k{n}")).await.expect("credit");
            bench.credit(&service, lee, 7, &format!("l{n}")).await.expect("credit");
        }
        let order = bench.judge.hold(kim, 50);
        bench.pay(&service, kim, order, "p").await.expect("paid");
        assert_eq!(
            statement_of(&bench, &service, kim, 2).await,
            [
                (-50, Cause::Order),
                (500, Cause::Credit),
                (400, Cause::Credit),
                (300, Cause::Credit),
                (200, Cause::Credit),
                (100, Cause::Credit),
            ]
        );
        assert_eq!(statement_of(&bench, &service, member(), 2).await, []);
    }
}

async fn statement_of(bench: &Bench, service: &Service, member: kit::id::MemberId, size: usize) -> Vec<(i64, Cause)> {
    let mut seen = Vec::new();
    let mut query = WalletQuery { cursor: None, size: Some(size) };
    loop {
        let page = service.list_wallet_entries(&bench.ctx, ListWalletEntries { member, query }).await.expect("page");
        assert!(page.items.len() <= size);
        seen.extend(page.items.iter().map(|entry| (entry.amount.amount, entry.cause)));
        match page.next {
            Some(cursor) => query = WalletQuery { cursor: Some(cursor), size: Some(size) },
            None => return seen,
        }
    }
}
