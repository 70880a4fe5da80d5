//! The catalogue: stores, items and their options, categories. Knows prices and names, not stock.

use garde::Validate;
use kit::id::{CategoryId, ItemId, MemberId, OptionId, StoreId};
use kit::{Cursor, Millis, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::check;
use crate::idempotency::{IdempotencyKey, Once};

rpc::service! {
    /// Stores, items and their options, categories.
    pub trait Catalog, client CatalogClient, name "catalog" {
        /// Errors: `invalid_fields` (`/name` `taken`), `idempotency_key_reused`.
        fn open_store(OpenStore) -> Once<Store>;
        /// Errors: `not_found` (also when it is another seller's), `store_closed`, `invalid_fields` (`/name` `taken`).
        fn update_store(UpdateStore) -> Store;
        /// Items leave the shelves, orders live on. Closing a closed store is no error. Errors: `not_found`.
        fn close_store(OwnStore) -> ();
        /// Errors: `not_found`.
        fn store(StoreId) -> Store;
        fn list_stores(ListStores) -> Page<Store>;
        /// Errors: `not_found` (store), `store_closed`, `invalid_fields` (`/name` `taken`, `/category_id` `unknown`).
        fn create_item(CreateItem) -> Once<Item>;
        /// Options keep their ids when given; new ones get an id; those left out are withdrawn from sale.
        /// Errors: `not_found`, `stale`, `invalid_fields`.
        fn update_item(UpdateItem) -> Item;
        /// Errors: `not_found`; hidden items are only shown to their seller.
        fn item(GetItem) -> Item;
        fn list_items(ListItems) -> Page<ItemSummary>;
        /// All items of the seller's own store by name, hidden ones and those off sale too. Errors: `not_found`.
        fn list_own_items(ListOwnItems) -> Page<Item>;
        /// The whole tree, parents before children.
        fn list_categories(()) -> Vec<Category>;
        /// Errors: `invalid_fields` (`/name` `taken`, `/parent_id` `unknown`).
        fn create_category(CategoryBody) -> Category;
        /// Rename or move. Errors: `not_found`, `invalid_fields` (`/parent_id` `cycle`).
        fn update_category(UpdateCategory) -> Category;
        /// Its items and children move to its parent. Errors: `not_found`, `category_not_empty` for a root with items.
        fn remove_category(CategoryId) -> ();
    }
}

/// The highest price of one unit, in minor units.
pub const PRICE_MAX: i64 = 9_999_999_999;
/// The most units one stock change may add.
pub const STOCK_MAX: i64 = 1_000_000_000;

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreBody {
    /// Unique in the market.
    #[garde(custom(check::name_100))]
    #[schema(example = "장터상회", min_length = 1, max_length = 100)]
    pub name: String,
    #[garde(length(chars, max = 2000), custom(check::no_nul))]
    #[serde(default)]
    #[schema(example = "시장에서 바로 보냅니다", max_length = 2000)]
    pub description: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenStore {
    pub seller: MemberId,
    pub key: Option<IdempotencyKey>,
    pub body: StoreBody,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateStore {
    pub seller: MemberId,
    pub store: StoreId,
    pub body: StoreBody,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OwnStore {
    pub seller: MemberId,
    pub store: StoreId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Store {
    pub id: StoreId,
    pub seller_id: MemberId,
    pub name: String,
    pub description: String,
    pub opened_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Millis>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListStores {
    /// Only names that contain this.
    #[garde(length(chars, max = 100), inner(custom(check::no_nul)))]
    pub name: Option<String>,
    /// Only stores of this seller.
    #[garde(skip)]
    pub seller: Option<MemberId>,
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

/// One option of an item as its seller writes it.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionBody {
    /// Absent for a new option.
    #[garde(skip)]
    #[serde(default)]
    pub id: Option<OptionId>,
    #[garde(custom(check::name_100))]
    #[schema(example = "3 kg", min_length = 1, max_length = 100)]
    pub name: String,
    /// Minor units of the market's currency (won).
    #[garde(range(min = 0, max = PRICE_MAX))]
    #[schema(example = 15000, minimum = 0, maximum = 9_999_999_999_i64)]
    pub price: i64,
    /// Units in stock when a new option is created; later changes go through the stock endpoints.
    #[garde(range(min = 0, max = STOCK_MAX))]
    #[serde(default)]
    #[schema(example = 100, minimum = 0, maximum = 1_000_000_000)]
    pub stock: i64,
    /// The most units one member may buy; none means no limit.
    #[garde(range(min = 1, max = STOCK_MAX))]
    #[serde(default)]
    pub limit_per_member: Option<i64>,
    /// Counts `limit_per_member` anew every so many market days; none counts forever.
    #[garde(range(min = 1, max = 366))]
    #[serde(default)]
    pub limit_days: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemBody {
    /// Unique in the store.
    #[garde(custom(check::name_100))]
    #[schema(example = "햇사과", min_length = 1, max_length = 100)]
    pub name: String,
    /// Markdown.
    #[garde(length(chars, max = 20_000), custom(check::no_nul))]
    #[serde(default)]
    #[schema(max_length = 20000)]
    pub description: String,
    #[garde(skip)]
    pub category_id: CategoryId,
    #[garde(skip)]
    #[serde(default = "yes")]
    pub on_sale: bool,
    #[garde(skip)]
    #[serde(default)]
    pub hidden: bool,
    #[garde(length(min = 1, max = 100), dive)]
    #[schema(min_items = 1, max_items = 100)]
    pub options: Vec<OptionBody>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateItem {
    pub seller: MemberId,
    pub store: StoreId,
    pub key: Option<IdempotencyKey>,
    pub body: ItemBody,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateItem {
    pub seller: MemberId,
    pub item: ItemId,
    /// The version that was read, when the caller wants to be told of a change in between.
    pub version: Option<i64>,
    pub body: ItemBody,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GetItem {
    pub item: ItemId,
    /// Who asks, when known: a seller sees the own hidden items.
    pub viewer: Option<MemberId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ItemOption {
    pub id: OptionId,
    pub name: String,
    pub price: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_member: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_days: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    pub id: ItemId,
    pub store_id: StoreId,
    pub seller_id: MemberId,
    pub category_id: CategoryId,
    pub name: String,
    pub description: String,
    pub on_sale: bool,
    pub hidden: bool,
    pub options: Vec<ItemOption>,
    pub created_at: Millis,
    /// Grows with every change.
    pub version: i64,
}

/// An item as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ItemSummary {
    pub id: ItemId,
    pub store_id: StoreId,
    pub store_name: String,
    pub category_id: CategoryId,
    pub name: String,
    /// The lowest price of its options.
    pub price: i64,
    pub in_stock: bool,
    /// Units sold so far.
    pub sold: i64,
    pub created_at: Millis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemSort {
    #[default]
    Newest,
    Popular,
    PriceUp,
    PriceDown,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListItems {
    /// Items of this category and those below it.
    #[garde(skip)]
    pub category: Option<CategoryId>,
    #[garde(skip)]
    pub store: Option<StoreId>,
    #[garde(range(min = 0, max = PRICE_MAX))]
    pub price_min: Option<i64>,
    #[garde(range(min = 0, max = PRICE_MAX))]
    pub price_max: Option<i64>,
    /// Only what can be bought now.
    #[garde(skip)]
    #[serde(default)]
    pub in_stock: bool,
    /// Only items created at or after this instant.
    #[garde(skip)]
    pub since: Option<Millis>,
    #[garde(skip)]
    #[serde(default)]
    pub sort: ItemSort,
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListOwnItems {
    pub seller: MemberId,
    pub store: StoreId,
    pub query: OwnItemsQuery,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnItemsQuery {
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryBody {
    /// Unique among its siblings.
    #[garde(custom(check::name_100))]
    #[schema(example = "과일", min_length = 1, max_length = 100)]
    pub name: String,
    /// None for a root.
    #[garde(skip)]
    #[serde(default)]
    pub parent_id: Option<CategoryId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateCategory {
    pub category: CategoryId,
    pub body: CategoryBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Category {
    pub id: CategoryId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<CategoryId>,
}
