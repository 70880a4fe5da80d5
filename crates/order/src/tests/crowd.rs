//! Under load, with everything at once: what must hold, holds.

use contract::order::{BeginPayment, Cancel, EndPayment, Order as _};
use futures_util::future::join_all;
use kit::id::AttemptId;
use kit::{Ids as _, SystemIds};

use super::harness::{key, markets, member};
use crate::service::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_pay_cancel_and_walk_away_leave_the_books_right() {
    let settings = Settings { hold_ms: 300, batch_max: 64, ..Settings::default() };
    for market in markets(settings).await {
        let options = [market.option(40).await, market.limited_option(40, Some(1), None).await];
        let crowd = (0..400_usize).map(|n| {
            let market = &market;
            async move {
                let kim = member();
                let wanted = [(options[n % 2], 1), (options[(n + 1) % 2], 1)];
                let Ok(placed) = market.buy(kim, "k", &wanted[..1 + n % 2]).await else { return };
                let order = placed.answer.order_id;
                match n % 4 {
                    0 => {
                        let cancel = Cancel { member: kim, order, key: key("c") };
                        // The hold may have expired meanwhile.
                        let _ = market.service.cancel(&market.ctx, cancel).await;
                    }
                    1 => {}
                    _ => {
                        let attempt = AttemptId(SystemIds.next());
                        let begin = BeginPayment { member: kim, order, attempt };
                        if market.service.begin_payment(&market.ctx, begin).await.is_ok() {
                            let end = EndPayment { order, attempt, captured: n % 8 != 3 };
                            market.service.end_payment(&market.ctx, end).await.expect("a begun payment can end");
                        }
                    }
                }
            }
        });
        join_all(crowd).await;
        market.clock.advance_ms(10_000);
        for _ in 0..100 {
            if market.stock(options[0]).await.held == 0 && market.stock(options[1]).await.held == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for option in options {
            let stock = market.stock(option).await;
            assert_eq!((stock.held, stock.available + stock.sold), (0, 40), "{stock:?}");
        }
        market.close().await;
    }
}
