use bus::Transport as _;
use contract::Event;
use contract::catalog::*;
use contract::event::{SoldLine, topic};
use db::statement;
use kit::id::{AttemptId, OrderId};
use kit::{Clock as _, Currency, Millis, Money};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use crate::world::*;

async fn tell(w: &World, message: u128, events: &[Event]) {
    let message = bus::Message {
        id: Uuid::from_u128(message),
        topic: topic::ORDER.into(),
        payload: serde_json::to_string(events).expect("json"),
        request_id: "r".into(),
    };
    w.bus.publish(&message).await.expect("consumed");
}

fn turned(item: &Item, option: usize, in_stock: bool, at: Millis) -> Event {
    Event::StockTurned { option: item.options[option].id, item: item.id, in_stock, at }
}

fn paid(item: &Item, quantity: i64) -> Event {
    let line = SoldLine {
        option: item.options[0].id,
        item: item.id,
        store: item.store_id,
        sale: None,
        quantity,
        unit_price: 1,
    };
    Event::OrderPaid {
        order: OrderId(Uuid::from_u128(1)),
        member: member(),
        attempt: AttemptId(Uuid::from_u128(2)),
        total: Money::new(quantity, Currency::KRW),
        sold: vec![line.clone(), line],
        at: Millis(1),
    }
}

#[tokio::test]
async fn a_closing_store_takes_every_item_off_the_shelf() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        for n in 0..120 {
            w.item(store.id, body(&format!("item {n}"), category, vec![option("S", 1, 1)])).await;
        }
        let other = w.store("other").await;
        let stays = w.item(other.id, body("stays", category, vec![option("S", 1, 1)])).await;
        w.catalog.close_store(&w.ctx, OwnStore { seller: w.seller, store: store.id }).await.expect("closed");
        let shelf = w.walk(ListItems::default()).await;
        assert_eq!(shelf.iter().map(|item| item.id).collect::<Vec<_>>(), [stays.id]);
        let told = w.told().await;
        let ended: std::collections::HashSet<_> =
            told.iter().filter(|offer| !offer.on_sale && offer.version == 2).map(|offer| offer.item).collect();
        assert_eq!((told.len(), ended.len()), (121 + 120, 120));
        assert!(told.iter().all(|offer| offer.options.len() == 1));
    })
    .await;
}

#[tokio::test]
async fn sold_units_are_counted_once() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("a", category, vec![option("S", 1, 1)])).await;
        for _ in 0..3 {
            tell(w, 1, &[paid(&item, 2), paid(&item, 3)]).await;
        }
        tell(w, 2, &[paid(&item, 1)]).await;
        assert_eq!(w.walk(ListItems::default()).await[0].sold, 12);
    })
    .await;
}

#[tokio::test]
async fn an_item_is_in_stock_while_one_offered_option_is() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("a", category, vec![option("S", 1, 1), option("M", 1, 0)])).await;
        let in_stock = async || w.walk(ListItems::default()).await[0].in_stock;
        let now = w.clock.now();
        assert!(in_stock().await, "its initial stock");
        tell(w, 1, &[turned(&item, 0, false, now)]).await;
        assert!(!in_stock().await);
        tell(w, 2, &[turned(&item, 1, true, now)]).await;
        assert!(in_stock().await);
        // What is late does not undo what is newer.
        tell(w, 3, &[turned(&item, 1, false, now.plus_ms(-1))]).await;
        assert!(in_stock().await);
        // Without the option that is in stock, the item is not.
        let only_first = vec![same_options(&item).remove(0)];
        w.update(&item, None, body("a", category, only_first)).await.expect("edited");
        assert!(!in_stock().await);
        // An edit does not forget what is known of stock.
        tell(w, 4, &[turned(&item, 0, true, now.plus_ms(1))]).await;
        w.update(&item, None, body("a", category, vec![same_options(&item).remove(0)])).await.expect("edited");
        assert!(in_stock().await);
    })
    .await;
}

#[tokio::test]
async fn turns_of_one_items_options_at_once_are_all_counted() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let options = (0..8).map(|n| option(&n.to_string(), 1, 1)).collect();
        let item = w.item(store.id, body("a", category, options)).await;
        let now = w.clock.now();
        let turns: Vec<[Event; 1]> = (0..8).map(|n| [turned(&item, n, false, now)]).collect();
        let tell_all = turns.iter().enumerate().map(|(n, events)| tell(w, n as u128 + 1, events));
        futures_util::future::join_all(tell_all).await;
        assert!(!w.walk(ListItems::default()).await[0].in_stock);
    })
    .await;
}

#[tokio::test]
async fn the_audit_sees_what_is_wrong() {
    on_each_database(async |w| {
        let (store, category) = (w.store("s").await, w.category("c", None).await);
        let item = w.item(store.id, body("a", category, vec![option("S", 5, 1)])).await;
        let breaches = async || -> usize {
            catalog::audit(&w.db).await.expect("audit").iter().map(|check| check.breaches.len()).sum()
        };
        let change = async |sql: &str| {
            let txn = w.db.begin().await.expect("transaction");
            txn.execute_raw(statement(&txn, sql, [item.id.0.into()])).await.expect("changed");
            w.db.commit(txn).await.expect("committed");
        };
        assert_eq!(breaches().await, 0);
        for (wrong, right) in [
            ("price_min = 4", "price_min = 5"),
            ("in_stock = FALSE", "in_stock = TRUE"),
            ("seller_id = id", "seller_id = (SELECT seller_id FROM store WHERE store.id = store_id)"),
        ] {
            change(&format!("UPDATE item SET {wrong} WHERE id = $1")).await;
            assert_eq!(breaches().await, 1, "{wrong}");
            change(&format!("UPDATE item SET {right} WHERE id = $1")).await;
            assert_eq!(breaches().await, 0, "{right}");
        }
    })
    .await;
}
