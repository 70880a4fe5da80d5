//! What the order service tells: options that turn in or out of stock, units that were sold.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::Event;
use db::Db;
use kit::{Clock, Result};
use uuid::Uuid;

use crate::table;
use crate::table::option::Turn;

pub(crate) struct Sales {
    db: Db,
    clock: Arc<dyn Clock>,
}

/// What the events of one message come to.
#[derive(Default, Debug, PartialEq)]
struct News {
    /// Units sold per item; 0 for an item of which only an option turned.
    sold: BTreeMap<Uuid, i64>,
    /// The latest turn per item and option.
    turned: BTreeMap<(Uuid, Uuid), Turn>,
}

impl Sales {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }
}

#[async_trait]
impl bus::Consumer for Sales {
    fn name(&self) -> &'static str {
        "catalog"
    }

    async fn consume(&self, message: &bus::Message) -> Result<()> {
        let news = news(message);
        // Most messages hold nothing for the catalogue: without an effect there is nothing to do once.
        if news.sold.is_empty() {
            return Ok(());
        }
        let txn = self.db.begin().await?;
        if !bus::first_time(&txn, self.name(), message, self.clock.now()).await? {
            return Ok(());
        }
        table::item::lock_many(&txn, news.sold.keys().copied()).await?;
        if !news.turned.is_empty() {
            let turned = news.turned.iter().map(|(&(item, option), &turn)| (item, option, turn));
            table::option::turn(&txn, turned).await?;
        }
        table::item::note_sales(&txn, &news.sold).await?;
        self.db.commit(txn).await
    }
}

/// An event that cannot be read is passed over with a word in the log: waiting would not make it better, and all that
/// come after would wait with it.
fn news(message: &bus::Message) -> News {
    let events = serde_json::from_str::<Vec<serde_json::Value>>(&message.payload).unwrap_or_else(|e| {
        tracing::error!(error = %e, message.id = %message.id, "message {} cannot be read", message.id);
        Vec::new()
    });
    let mut news = News::default();
    for event in events {
        match serde_json::from_value(event) {
            Ok(event) => add(&mut news, event),
            Err(e) => tracing::error!(error = %e, message.id = %message.id, "an event cannot be read"),
        }
    }
    news
}

fn add(news: &mut News, event: Event) {
    match event {
        Event::OrderPaid { sold, .. } => {
            for line in sold {
                let units = news.sold.entry(line.item.0).or_default();
                *units = units.saturating_add(line.quantity);
            }
        }
        Event::StockTurned { option, item, in_stock, at } => {
            news.sold.entry(item.0).or_default();
            let turn = Turn { in_stock, at_ms: at.0 };
            let latest = news.turned.entry((item.0, option.0)).or_insert(turn);
            if latest.at_ms <= turn.at_ms {
                *latest = turn;
            }
        }
        Event::ItemChanged(_)
        | Event::OrderPlaced { .. }
        | Event::OrderCancelled { .. }
        | Event::OrderExpired { .. }
        | Event::Unknown => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> bus::Message {
        let (topic, request_id) = ("order".into(), "r".into());
        bus::Message { id: Uuid::from_u128(1), topic, payload: payload.into(), request_id }
    }

    fn turned(option: u128, in_stock: bool, at: &str) -> String {
        let option = Uuid::from_u128(option);
        let item = Uuid::from_u128(9);
        format!(r#"{{"kind":"stock_turned","option":"{option}","item":"{item}","in_stock":{in_stock},"at":"{at}"}}"#)
    }

    #[test]
    fn the_latest_turn_counts_whatever_the_order() {
        let (early, late) = (turned(1, true, "2026-01-01T00:00:00Z"), turned(1, false, "2026-01-01T00:00:01Z"));
        for payload in [format!("[{early},{late}]"), format!("[{late},{early}]")] {
            let news = news(&message(&payload));
            let turns: Vec<bool> = news.turned.values().map(|turn| turn.in_stock).collect();
            assert_eq!(turns, [false]);
        }
    }

    #[test]
    fn unreadable_and_newer_events_are_passed_over() {
        let good = turned(1, true, "2026-01-01T00:00:00Z");
        let payload = format!(r#"[{{"kind":"invented_next_year"}},{{"kind":"stock_turned"}},7,{good}]"#);
        assert_eq!(news(&message(&payload)).turned.len(), 1);
        assert_eq!(news(&message("not json")), News::default());
    }
}
