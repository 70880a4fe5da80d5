//! Limited sales.

use contract::order::{CreateSale, ListSales, Order as _, Sale, SaleBody, SaleLineBody};
use kit::id::OptionId;
use kit::{Clock as _, Code, Result};

use super::harness::{Market, key, line, markets, member};
use crate::service::Settings;

const HOUR_MS: i64 = 3_600_000;

async fn sale(market: &Market, option: OptionId, quantity: i64, opens_in_ms: i64) -> Result<Sale> {
    let opens_at = market.clock.now().plus_ms(opens_in_ms);
    let body = SaleBody {
        name: "오늘의 드롭".into(),
        opens_at,
        closes_at: opens_at.plus_ms(HOUR_MS),
        limit_per_member: Some(2),
        lines: vec![SaleLineBody { option_id: option, quantity, price: 700 }],
    };
    let request = CreateSale { seller: market.seller, store: market.store, key: key("sale"), body };
    market.service.create_sale(&market.ctx, request).await.map(|once| once.answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_sells_its_own_units_in_its_own_time_at_its_own_price() {
    for market in markets(Settings::default()).await {
        let (option, kim) = (market.option(10).await, member());
        let drop = sale(&market, option, 4, HOUR_MS).await.expect("sale");
        assert_eq!((drop.lines[0].available, drop.lines[0].price), (4, 700));
        let wanted = || vec![line(option, 1, Some(drop.id))];
        let early = market.place(kim, "a", wanted(), 700).await.expect_err("early");
        assert_eq!(early.code, Code::SaleNotOpen);
        assert!(early.facts.expect("facts").contains_key("opens_at"));
        market.clock.advance_ms(HOUR_MS);
        market.place(kim, "a", wanted(), 700).await.expect("open");
        market.place(kim, "b", wanted(), 700).await.expect("open");
        assert_eq!(market.place(kim, "c", wanted(), 700).await.expect_err("limit").code, Code::OverLimit);
        market.place(member(), "d", vec![line(option, 2, Some(drop.id))], 1_400).await.expect("the rest");
        assert_eq!(market.place(member(), "e", wanted(), 700).await.expect_err("gone").code, Code::SoldOut);
        let stock = market.stock(option).await;
        assert_eq!((stock.supplied, stock.available, stock.set_aside, stock.held), (10, 6, 0, 4));
        let listed = market.service.list_sales(&market.ctx, ListSales::default()).await.expect("list").items;
        assert_eq!(listed.len(), 1);
        market.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sale_did_not_sell_goes_back_to_the_shelf() {
    for market in markets(Settings::default()).await {
        let option = market.option(10).await;
        let drop = sale(&market, option, 4, 0).await.expect("sale");
        market.place(member(), "a", vec![line(option, 1, Some(drop.id))], 700).await.expect("held at the end");
        market.clock.advance_ms(HOUR_MS);
        let late = market.place(member(), "b", vec![line(option, 1, Some(drop.id))], 700).await.expect_err("late");
        assert_eq!(late.code, Code::SaleNotOpen);
        left_overs_returned(&market, option).await;
        market.close().await;
    }
}

/// The hold expires with the moved clock, and its unit follows the others.
async fn left_overs_returned(market: &Market, option: OptionId) {
    for _ in 0..100 {
        let stock = market.stock(option).await;
        if (stock.available, stock.set_aside, stock.held) == (10, 0, 0) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("left-overs did not return: {:?}", market.stock(option).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_takes_only_own_units_that_are_there() {
    for market in markets(Settings::default()).await {
        let option = market.option(3).await;
        assert_eq!(sale(&market, option, 4, 0).await.expect_err("too many").code, Code::StockTooLow);
        assert_eq!(market.stock(option).await.available, 3);
        let mut foreign = market;
        let seller = std::mem::replace(&mut foreign.seller, member());
        assert_eq!(sale(&foreign, option, 1, 0).await.expect_err("foreign").code, Code::NotFound);
        foreign.seller = seller;
        let first = sale(&foreign, option, 1, 0).await.expect("own");
        let again = sale(&foreign, option, 1, 0).await;
        assert_eq!(again.expect_err("times differ").code, Code::IdempotencyKeyReused);
        assert_eq!(first.lines.len(), 1);
        foreign.close().await;
    }
}
