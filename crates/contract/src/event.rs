//! What happened, for whoever wants to know. Written to the outbox in the transaction that caused it.
//!
//! Versions may differ: a consumer ignores fields and kinds it does not know.

use kit::id::{AttemptId, ItemId, MemberId, OptionId, OrderId, SaleId, StoreId};
use kit::{Millis, Money};
use serde::{Deserialize, Serialize};

/// Topics of the bus.
pub mod topic {
    pub const CATALOG: &str = "catalog";
    pub const ORDER: &str = "order";
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// An item was created or changed; carries all of what `order` needs to sell it.
    ItemChanged(ItemOffer),
    /// A hold was given.
    OrderPlaced {
        order: OrderId,
        member: MemberId,
        total: Money,
        at: Millis,
    },
    OrderPaid {
        order: OrderId,
        member: MemberId,
        attempt: AttemptId,
        total: Money,
        sold: Vec<SoldLine>,
        at: Millis,
    },
    /// The buyer gave the hold back.
    OrderCancelled {
        order: OrderId,
        member: MemberId,
        at: Millis,
    },
    /// The hold ran out unpaid.
    OrderExpired {
        order: OrderId,
        member: MemberId,
        at: Millis,
    },
    /// The option can be bought again, or cannot any more (shelf and open sales together).
    StockTurned {
        option: OptionId,
        item: ItemId,
        in_stock: bool,
        at: Millis,
    },
    /// From a newer version.
    #[serde(other)]
    Unknown,
}

/// What is sold, as the catalogue says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemOffer {
    pub item: ItemId,
    pub store: StoreId,
    pub seller: MemberId,
    pub item_name: String,
    /// On sale, not hidden, and its store is open.
    pub on_sale: bool,
    /// Grows with every change; an older one never overwrites a newer.
    pub version: i64,
    pub options: Vec<OptionOffer>,
    pub at: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionOffer {
    pub option: OptionId,
    pub name: String,
    pub price: i64,
    /// Units it starts with; counts only when the option is new.
    pub initial_stock: i64,
    pub limit_per_member: Option<i64>,
    pub limit_days: Option<i64>,
    /// No longer offered.
    pub withdrawn: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoldLine {
    pub option: OptionId,
    pub item: ItemId,
    pub store: StoreId,
    pub sale: Option<SaleId>,
    pub quantity: i64,
    pub unit_price: i64,
}
