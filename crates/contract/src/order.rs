//! Orders: stock, holds, orders, limited sales. Stock and orders live in one database, in one transaction.

use garde::Validate;
use kit::id::{AttemptId, ItemId, MemberId, OptionId, OrderId, SaleId, StoreId};
use kit::{Cursor, Millis, Money, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::check;
use crate::idempotency::{IdempotencyKey, Once};

rpc::service! {
    /// Stock, holds, orders, limited sales.
    pub trait Order, client OrderClient, name "order" {
        /// Takes the stock of all lines at once, or of none, and gives a hold.
        /// Errors: `sold_out`, `over_limit`, `sale_not_open`, `not_on_sale`, `price_changed` (with the new `total`),
        /// `idempotency_key_reused`, `overloaded`.
        fn place(Place) -> Once<Placed>;
        /// Gives an unpaid hold back. Errors: `not_found`, `payment_running`, `illegal_move`, `idempotency_key_reused`.
        fn cancel(Cancel) -> Once<OrderView>;
        /// An order of the member. Errors: `not_found`.
        fn order(OwnOrder) -> OrderView;
        /// The member's orders, newest first.
        fn list_orders(ListOrders) -> Page<OrderView>;
        /// The lines that were ordered of a store, newest first. Errors: `not_found` (also when it is another seller's).
        fn list_store_lines(ListStoreLines) -> Page<StoreLine>;
        /// What can be bought now; options that are not known are left out.
        fn availability(Vec<OptionId>) -> Vec<Availability>;
        /// Errors: `not_found` (also when it is another seller's).
        fn stock(OwnOption) -> Stock;
        /// Newest first. Errors: `not_found`.
        fn list_stock_entries(ListStockEntries) -> Page<StockEntry>;
        /// Changes the stock by a difference. Errors: `not_found`, `stock_too_low`, `idempotency_key_reused`.
        fn change_stock(ChangeStock) -> Once<Stock>;
        /// Sets units aside for a limited sale. Errors: `not_found`, `stock_too_low`, `invalid_fields`.
        fn create_sale(CreateSale) -> Once<Sale>;
        /// Errors: `not_found`.
        fn sale(SaleId) -> Sale;
        /// Sales that have not ended, soonest first.
        fn list_sales(ListSales) -> Page<Sale>;
        /// Keeps the hold from expiring while `attempt` runs; the same attempt again is no error.
        /// Errors: `not_found`, `hold_ended`, `payment_running`, `illegal_move`.
        fn begin_payment(BeginPayment) -> Payable;
        /// The judge of paying against everything else. `captured`: the order is paid, or `hold_ended` when it cannot
        /// be any more (then the money goes back). Otherwise the hold runs on. Repeating is no error.
        fn end_payment(EndPayment) -> OrderState;
    }
}

/// The most lines one order may have.
pub const LINES_MAX: usize = 50;

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    #[garde(skip)]
    pub option_id: OptionId,
    #[garde(range(min = 1, max = 99))]
    #[schema(minimum = 1, maximum = 99, example = 1)]
    pub quantity: i64,
    /// Buys from the units set aside for this sale, at its price.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    #[garde(length(min = 1, max = LINES_MAX), dive)]
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<LineBody>,
    /// The total that was shown to the buyer; a difference is refused with the new one.
    #[garde(skip)]
    pub total: Money,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub member: MemberId,
    pub key: IdempotencyKey,
    pub body: PlaceBody,
}

/// The receipt of a hold. Says nothing that can change later, so that a repeated request gets the same again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Placed {
    pub order_id: OrderId,
    pub lines: Vec<PlacedLine>,
    pub total: Money,
    pub placed_at: Millis,
    /// Pay before this instant.
    pub hold_expires_at: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlacedLine {
    pub option_id: OptionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    pub quantity: i64,
    pub unit_price: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cancel {
    pub member: MemberId,
    pub order: OrderId,
    pub key: IdempotencyKey,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OwnOrder {
    pub member: MemberId,
    pub order: OrderId,
}

/// The state of a line; that of an order is derived from its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    Held,
    Paid,
    Expired,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LineView {
    pub line_no: i64,
    pub option_id: OptionId,
    pub item_id: ItemId,
    pub store_id: StoreId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    /// Names as they were when it was bought.
    pub item_name: String,
    pub option_name: String,
    pub quantity: i64,
    pub unit_price: i64,
    pub state: OrderState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    pub id: OrderId,
    pub state: OrderState,
    pub total: Money,
    pub lines: Vec<LineView>,
    pub placed_at: Millis,
    /// While held: pay before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Millis>,
    /// A payment is running: the hold cannot expire.
    pub payment_running: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    #[garde(skip)]
    pub state: Option<OrderState>,
    /// Placed at or after.
    #[garde(skip)]
    pub from: Option<Millis>,
    /// Placed before.
    #[garde(skip)]
    pub to: Option<Millis>,
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListOrders {
    pub member: MemberId,
    pub query: OrderQuery,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListStoreLines {
    pub seller: MemberId,
    pub store: StoreId,
    pub query: OrderQuery,
}

/// A line as its store sees it: nothing about the buyer beyond the order's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreLine {
    pub order_id: OrderId,
    pub placed_at: Millis,
    #[serde(flatten)]
    pub line: LineView,
}

/// What of an option can be bought now. On the shelf, or of one sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Availability {
    pub option_id: OptionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    pub available: i64,
    pub on_sale: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OwnOption {
    pub seller: MemberId,
    pub option: OptionId,
}

/// `supplied = available + held + sold + written_off`, over the shelf and every sale of the option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stock {
    pub option_id: OptionId,
    pub supplied: i64,
    /// On the shelf.
    pub available: i64,
    /// Set aside for sales and still to be had there.
    pub set_aside: i64,
    pub held: i64,
    pub sold: i64,
    pub written_off: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockCause {
    /// The first stock of a new option.
    Initial,
    /// More units arrived.
    Restock,
    /// A count found fewer or more; units taken away are written off.
    Correction,
    /// Moved between the shelf and a sale.
    SetAside,
    /// Sold: the order was paid.
    Order,
    /// Came back.
    Return,
}

impl StockCause {
    pub const ALL: [Self; 6] =
        [Self::Initial, Self::Restock, Self::Correction, Self::SetAside, Self::Order, Self::Return];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Restock => "restock",
            Self::Correction => "correction",
            Self::SetAside => "set_aside",
            Self::Order => "order",
            Self::Return => "return",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// What a seller may give as a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockReason {
    Restock,
    Correction,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeStockBody {
    /// Units added; below zero, units taken away (only what is available, and only as a correction).
    #[garde(custom(stock_difference))]
    #[schema(example = 50)]
    pub difference: i64,
    #[garde(skip)]
    pub reason: StockReason,
    #[garde(length(chars, max = 200), custom(check::no_nul))]
    #[serde(default)]
    #[schema(max_length = 200)]
    pub note: String,
}

fn stock_difference(value: &i64, _: &()) -> garde::Result {
    match (1..=crate::catalog::STOCK_MAX).contains(&value.saturating_abs()) {
        true => Ok(()),
        false => Err(garde::Error::new("not zero, and at most 1,000,000,000 either way")),
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeStock {
    pub seller: MemberId,
    pub option: OptionId,
    pub key: IdempotencyKey,
    pub body: ChangeStockBody,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListStockEntries {
    pub seller: MemberId,
    pub option: OptionId,
    pub query: StockQuery,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StockQuery {
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

/// One change of stock, with its cause and who made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StockEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    pub cause: StockCause,
    /// Signed change of what is on hand.
    pub quantity: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    pub actor_id: MemberId,
    pub note: String,
    pub at: Millis,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaleLineBody {
    #[garde(skip)]
    pub option_id: OptionId,
    /// Units taken from the shelf and set aside.
    #[garde(range(min = 1, max = crate::catalog::STOCK_MAX))]
    #[schema(minimum = 1, maximum = 1_000_000_000, example = 1000)]
    pub quantity: i64,
    /// Minor units.
    #[garde(range(min = 0, max = crate::catalog::PRICE_MAX))]
    #[schema(minimum = 0, maximum = 9_999_999_999_i64, example = 9900)]
    pub price: i64,
}

/// A drop: from `opens_at` until `closes_at`, or until all is sold.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaleBody {
    #[garde(custom(check::name_100))]
    #[schema(example = "오늘의 드롭", min_length = 1, max_length = 100)]
    pub name: String,
    #[garde(skip)]
    pub opens_at: Millis,
    #[garde(skip)]
    pub closes_at: Millis,
    /// The most units one member may buy in this sale; none means no limit.
    #[garde(range(min = 1, max = crate::catalog::STOCK_MAX))]
    #[serde(default)]
    pub limit_per_member: Option<i64>,
    #[garde(length(min = 1, max = LINES_MAX), dive)]
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<SaleLineBody>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateSale {
    pub seller: MemberId,
    pub store: StoreId,
    pub key: IdempotencyKey,
    pub body: SaleBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SaleLine {
    pub option_id: OptionId,
    pub item_id: ItemId,
    pub item_name: String,
    pub option_name: String,
    pub price: i64,
    pub quantity: i64,
    pub available: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sale {
    pub id: SaleId,
    pub store_id: StoreId,
    pub name: String,
    pub opens_at: Millis,
    pub closes_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_member: Option<i64>,
    pub lines: Vec<SaleLine>,
    /// The server's clock when this was read: count down against it.
    pub now: Millis,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListSales {
    #[garde(skip)]
    pub store: Option<StoreId>,
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BeginPayment {
    pub member: MemberId,
    pub order: OrderId,
    pub attempt: AttemptId,
}

/// What a payment attempt may charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payable {
    pub order: OrderId,
    pub amount: Money,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EndPayment {
    pub order: OrderId,
    pub attempt: AttemptId,
    /// The money has moved.
    pub captured: bool,
}

/// Live availability is broadcast on this topic of the shared memory, one JSON [`Availability`] each.
pub const TOPIC_AVAILABILITY: &str = "availability";
