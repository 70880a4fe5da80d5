//! Placing, paying, cancelling and expiring of holds.

use contract::order::{BeginPayment, Cancel, EndPayment, Order as _, OrderState, OwnOrder};
use futures_util::future::join_all;
use kit::id::{AttemptId, OrderId};
use kit::{Code, Ids as _, SystemIds};

use super::harness::{Market, key, line, markets, member};
use crate::service::Settings;

const MINUTE_MS: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_exactly_what_there_is() {
    for market in markets(Settings::default()).await {
        let option = market.option(100).await;
        let crowd = (0..1_000).map(|n| {
            let market = &market;
            async move { market.buy(member(), &format!("k{n}"), &[(option, 1)]).await }
        });
        let answers = join_all(crowd).await;
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(accepted, 100);
        let refusals = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(refusals.clone().all(|fault| fault.code == Code::SoldOut), "{:?}", refusals.collect::<Vec<_>>());
        let stock = market.stock(option).await;
        assert_eq!((stock.available, stock.held, stock.sold), (0, 100, 0));
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_has_one_effect_however_often_it_is_sent() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(100).await, member());
        let wanted = [(option, 2)];
        let same = (0..10).map(|_| market.buy(kim, "k", &wanted));
        let answers: Vec<_> = join_all(same).await.into_iter().map(|answer| answer.expect("placed")).collect();
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| answer.answer == answers[0].answer));
        let other = market.buy(kim, "k", &[(option, 3)]).await.expect_err("another body");
        assert_eq!(other.code, Code::IdempotencyKeyReused);
        assert!(!market.buy(member(), "k", &[(option, 2)]).await.expect("another member's key").replayed);
        assert_eq!(market.stock(option).await.held, 4);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_hears_the_first_answer_again_after_the_stock_is_gone() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(1).await, member());
        let first = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer;
        // Until the gate has closed, and after.
        for _ in 0..20 {
            let again = market.buy(kim, "k", &[(option, 1)]).await.expect("replayed");
            assert!(again.replayed);
            assert_eq!(again.answer, first);
            let stranger = market.buy(member(), "k", &[(option, 1)]).await.expect_err("sold out");
            assert_eq!(stranger.code, Code::SoldOut);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_or_none() {
    for market in markets(Settings::default()).await {
        let (plenty, scarce) = (market.option(10).await, market.option(1).await);
        let refused = market.buy(member(), "a", &[(plenty, 2), (scarce, 2)]).await.expect_err("too few");
        assert_eq!((refused.code, refused.facts.expect("facts")["line"].clone()), (Code::SoldOut, 1.into()));
        // Two lines of one option count together.
        assert_eq!(
            market.buy(member(), "b", &[(scarce, 1), (scarce, 1)]).await.expect_err("too few").code,
            Code::SoldOut
        );
        assert_eq!(market.stock(plenty).await.available, 10);
        market.buy(member(), "c", &[(plenty, 2), (scarce, 1)]).await.expect("placed");
        assert_eq!((market.stock(plenty).await.available, market.stock(scarce).await.available), (8, 0));
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_was_not_shown_is_refused_with_the_new_one() {
    for market in markets(Settings::default()).await {
        let option = market.option(10).await;
        let refused = market.place(member(), "k", vec![line(option, 2, None)], 1_999).await.expect_err("changed");
        assert_eq!(refused.code, Code::PriceChanged);
        assert_eq!(refused.facts.expect("facts")["total"]["amount"], 2_000);
        market.offer(option, 0, 1_500, None, None, 2).await;
        market.place(member(), "k", vec![line(option, 2, None)], 3_000).await.expect("the new price");
        market.offer(option, 0, 9, None, None, 1).await;
        market.place(member(), "k", vec![line(option, 2, None)], 3_000).await.expect("an older offer changes nothing");
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_over_orders_and_cancelling_gives_the_allowance_back() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.limited_option(100, Some(3), None).await, member());
        let same_moment = join_all((0..5).map(|n| {
            let market = &market;
            async move { market.buy(kim, &format!("k{n}"), &[(option, 1)]).await }
        }));
        let (accepted, refused): (Vec<_>, Vec<_>) = same_moment.await.into_iter().partition(Result::is_ok);
        assert_eq!((accepted.len(), refused.len()), (3, 2));
        assert!(refused.iter().all(|answer| answer.as_ref().is_err_and(|fault| fault.code == Code::OverLimit)));
        let order = accepted[0].as_ref().expect("placed").answer.order_id;
        let cancel = Cancel { member: kim, order, key: key("c") };
        market.service.cancel(&market.ctx, cancel).await.expect("cancelled");
        market.buy(kim, "again", &[(option, 1)]).await.expect("the allowance came back");
        assert_eq!(market.buy(kim, "more", &[(option, 1)]).await.expect_err("limit").code, Code::OverLimit);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_by_days_starts_anew() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.limited_option(100, Some(1), Some(1)).await, member());
        market.buy(kim, "a", &[(option, 1)]).await.expect("today");
        assert_eq!(market.buy(kim, "b", &[(option, 1)]).await.expect_err("today").code, Code::OverLimit);
        market.clock.advance_ms(24 * 60 * MINUTE_MS);
        market.buy(kim, "c", &[(option, 1)]).await.expect("tomorrow");
        market.close().await;
    }
}

async fn expired(market: &Market, option: kit::id::OptionId, units: i64) {
    for _ in 0..100 {
        if market.stock(option).await.available == units {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the hold did not expire");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_hold_expires_and_its_units_are_sold_again() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(1).await, member());
        let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
        assert_eq!(market.buy(member(), "k", &[(option, 1)]).await.expect_err("held").code, Code::SoldOut);
        market.clock.advance_ms(10 * MINUTE_MS);
        expired(&market, option, 1).await;
        let seen = market.service.order(&market.ctx, OwnOrder { member: kim, order }).await.expect("order");
        assert_eq!((seen.state, seen.hold_expires_at), (OrderState::Expired, None));
        market.buy(member(), "k", &[(option, 1)]).await.expect("sold again");
        market.close().await;
    }
}

async fn pay(market: &Market, member: kit::id::MemberId, order: OrderId) -> kit::Result<OrderState> {
    let attempt = AttemptId(SystemIds.next());
    market.service.begin_payment(&market.ctx, BeginPayment { member, order, attempt }).await?;
    market.service.end_payment(&market.ctx, EndPayment { order, attempt, captured: true }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_payment_keeps_the_hold_and_a_paid_order_cannot_be_cancelled_or_paid_again() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(2).await, member());
        let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
        let attempt = AttemptId(SystemIds.next());
        let begin = BeginPayment { member: kim, order, attempt };
        let payable = market.service.begin_payment(&market.ctx, begin).await.expect("begun");
        assert_eq!(payable.amount.amount, 1_000);
        market.service.begin_payment(&market.ctx, begin).await.expect("repeating is no error");
        market.clock.advance_ms(60 * MINUTE_MS);
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        let cancel = Cancel { member: kim, order, key: key("c") };
        let refused = market.service.cancel(&market.ctx, cancel.clone()).await.expect_err("running");
        assert_eq!(refused.code, Code::PaymentRunning);
        let end = EndPayment { order, attempt, captured: true };
        for _ in 0..2 {
            assert_eq!(market.service.end_payment(&market.ctx, end).await.expect("paid"), OrderState::Paid);
        }
        assert_eq!(pay(&market, kim, order).await.expect_err("paid").code, Code::IllegalMove);
        assert_eq!(market.service.cancel(&market.ctx, cancel).await.expect_err("paid").code, Code::IllegalMove);
        let stock = market.stock(option).await;
        assert_eq!((stock.available, stock.held, stock.sold), (1, 0, 1));
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_came_to_nothing_lets_the_hold_run_on() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(1).await, member());
        let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
        let attempt = AttemptId(SystemIds.next());
        let begin = BeginPayment { member: kim, order, attempt };
        market.service.begin_payment(&market.ctx, begin).await.expect("begun");
        let end = EndPayment { order, attempt, captured: false };
        for _ in 0..2 {
            assert_eq!(market.service.end_payment(&market.ctx, end).await.expect("released"), OrderState::Held);
        }
        market.clock.advance_ms(10 * MINUTE_MS);
        expired(&market, option, 1).await;
        // The money that arrives now has nothing to buy.
        let late = EndPayment { order, attempt, captured: true };
        assert_eq!(market.service.end_payment(&market.ctx, late).await.expect_err("late").code, Code::HoldEnded);
        assert_eq!(pay(&market, kim, order).await.expect_err("late").code, Code::HoldEnded);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_and_cancelling_at_once_has_one_winner() {
    for market in markets(Settings::default()).await {
        let option = market.option(50).await;
        for n in 0..50 {
            let kim = member();
            let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
            let cancel = Cancel { member: kim, order, key: key(&format!("c{n}")) };
            let (paid, cancelled) = tokio::join!(pay(&market, kim, order), market.service.cancel(&market.ctx, cancel));
            assert_ne!(paid.is_ok(), cancelled.is_ok(), "{paid:?} {cancelled:?}");
        }
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_orders_do_not_exist() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(1).await, member());
        let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
        let lee = member();
        let cancel = Cancel { member: lee, order, key: key("c") };
        assert_eq!(market.service.cancel(&market.ctx, cancel).await.expect_err("foreign").code, Code::NotFound);
        assert_eq!(pay(&market, lee, order).await.expect_err("foreign").code, Code::NotFound);
        let read = market.service.order(&market.ctx, OwnOrder { member: lee, order }).await;
        assert_eq!(read.expect_err("foreign").code, Code::NotFound);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_replayed() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(1).await, member());
        let order = market.buy(kim, "k", &[(option, 1)]).await.expect("placed").answer.order_id;
        let cancel = Cancel { member: kim, order, key: key("c") };
        let first = market.service.cancel(&market.ctx, cancel.clone()).await.expect("cancelled");
        let again = market.service.cancel(&market.ctx, cancel).await.expect("replayed");
        assert!(!first.replayed && again.replayed && first.answer == again.answer);
        let other = Cancel { member: kim, order, key: key("d") };
        assert_eq!(market.service.cancel(&market.ctx, other).await.expect_err("ended").code, Code::IllegalMove);
        market.close().await;
    }
}
