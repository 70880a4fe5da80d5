//! Wallets.

use contract::payment::{Cause, WalletEntry};
use futures_util::future::join_all;
use kit::Page;
use serde_json::{Value, json};

use crate::app::App;

every_column!(
    a_wallet_is_filled_by_an_operator_and_keeps_its_history,
    one_key_is_one_credit,
    amounts_that_cannot_be_are_refused,
    a_wallet_is_spent_once_however_many_ask,
);

fn credit(amount: i64) -> Value {
    json!({"amount": {"amount": amount, "currency": "KRW"}, "reason": "welcome gift"})
}

async fn a_wallet_is_filled_by_an_operator_and_keeps_its_history(app: &App) {
    let shelf = app.shelf(5, 1_000).await;
    let buyer = app.buyer().await;
    assert_eq!(buyer.balance().await, 0);
    app.credit(buyer.id, 5_000).await;
    let order = buyer.hold("a", &shelf, 2).await.order_id;
    buyer.payment("p", order).send().await.expect(200);
    app.credit(buyer.id, 1).await;
    let page: Page<WalletEntry> = buyer.get("/v1/wallet/entries").send().await.expect(200).get();
    let seen: Vec<_> = page.items.iter().map(|entry| (entry.cause, entry.amount.amount, entry.order_id)).collect();
    assert_eq!(seen, [(Cause::Credit, 1, None), (Cause::Order, -2_000, Some(order)), (Cause::Credit, 5_000, None)]);
    let first = buyer.get("/v1/wallet/entries?size=2").send().await.expect(200).value();
    let rest = format!("/v1/wallet/entries?size=2&cursor={}", first["next"].as_str().expect("more"));
    let rest: Page<WalletEntry> = buyer.get(&rest).send().await.expect(200).get();
    assert_eq!(rest.items.len(), 1);
    assert_eq!(buyer.balance().await, 3_001);
}

async fn one_key_is_one_credit(app: &App) {
    let buyer = app.buyer().await;
    let path = format!("/v1/admin/members/{}/credit", buyer.id);
    let admin = app.admin().await;
    let replies = join_all((0..5).map(|_| async { admin.post(&path, &credit(100)).key("k").send().await })).await;
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 409)), "{replies:?}");
    let again = admin.post(&path, &credit(100)).key("k").send().await.expect(200);
    assert!(again.is_replayed());
    admin.post(&path, &credit(101)).key("k").send().await.refused(422, "idempotency_key_reused");
    assert_eq!(buyer.balance().await, 100);
}

async fn amounts_that_cannot_be_are_refused(app: &App) {
    let buyer = app.buyer().await;
    let path = format!("/v1/admin/members/{}/credit", buyer.id);
    let admin = app.admin().await;
    for amount in [0, -1, i64::MIN, i64::MAX] {
        let refused = admin.post(&path, &credit(amount)).key("k").send().await;
        refused.refused(422, "amount_out_of_range");
    }
    let mut dollars = credit(1);
    dollars["amount"]["currency"] = "USD".into();
    admin.post(&path, &dollars).key("k").send().await.refused(422, "currency_mismatch");
    assert_eq!(buyer.balance().await, 0);
}

async fn a_wallet_is_spent_once_however_many_ask(app: &App) {
    let shelf = app.shelf(50, 1_000).await;
    let buyer = app.rich_buyer(5_000).await;
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let mut orders = Vec::new();
    for key in &keys {
        orders.push(buyer.hold(key, &shelf, 1).await.order_id);
    }
    let payments = keys.iter().zip(&orders).map(|(key, order)| async { buyer.payment(key, *order).send().await });
    let replies = join_all(payments).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 5, "{replies:?}");
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        reply.refused(409, "insufficient_funds");
    }
    assert_eq!(buyer.balance().await, 0);
    let stock = shelf.seller.stock(shelf.option).await;
    assert_eq!((stock.sold, stock.held), (5, 5));
}
