//! The shelf: items on sale, listed by one of four sort keys from where the cursor points.
//!
//! A list is read along the index of its sort key within its scope (market, store, one category), and conditions on
//! anything else are judged row by row: quick while many rows fulfil them. When few do, those few are read through
//! the condition's own index and sorted. Which of the two it is, is found out by counting up to a limit, so that
//! neither way can become a long walk; planners would guess, and without statistics they guess wrong.

use contract::catalog::{ItemSort, ItemSummary};
use db::{fault, statement};
use kit::{Millis, Result};
use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, Value};

/// Where the last page ended: its last sort key, and the id that breaks ties.
pub(crate) type After = (i64, Uuid);

#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub store: Option<Uuid>,
    /// Items of any of these.
    pub categories: Option<Vec<Uuid>>,
    pub price_min: Option<i64>,
    pub price_max: Option<i64>,
    pub in_stock: bool,
    pub since: Option<Millis>,
    pub sort: ItemSort,
    pub after: Option<After>,
    pub limit: i64,
}

/// The condition through whose index the rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    SortKey,
    Categories,
    Price,
    Since,
}

/// So many rows are few enough to be read and sorted for one page.
const FEW: i64 = 500;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    store_id: Uuid,
    store_name: String,
    category_id: Uuid,
    name: String,
    price_min: i64,
    in_stock: bool,
    sold: i64,
    created_at_ms: i64,
}

/// The sort key of a summary, for the cursor.
pub(crate) fn key(sort: ItemSort, item: &ItemSummary) -> After {
    let key = match sort {
        ItemSort::Newest => item.created_at.0,
        ItemSort::Popular => item.sold,
        ItemSort::PriceUp | ItemSort::PriceDown => item.price,
    };
    (key, item.id.0)
}

/// Counts what may be few, then reads the page: one statement for most lists, four at most.
pub(crate) async fn list(connection: &impl ConnectionTrait, look: &Look) -> Result<Vec<ItemSummary>> {
    let mut lead = Lead::SortKey;
    for candidate in candidates(look) {
        if is_few(connection, look, candidate).await? {
            lead = candidate;
            break;
        }
    }
    let (sql, values) = text(look, lead);
    let rows = connection.query_all_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let summary = |row: QueryResult| Row::from_query_result(&row, "").map(ItemSummary::from);
    rows.into_iter().map(summary).collect::<Result<_, DbErr>>().map_err(fault)
}

/// Conditions that have an index, but not that of the sort key.
fn candidates(look: &Look) -> impl Iterator<Item = Lead> {
    let column = order(look.sort).0;
    let categories = look.categories.as_ref().is_some_and(|categories| categories.len() > 1 || look.store.is_some());
    let price = look.price_min.or(look.price_max).is_some() && column != "price_min";
    let since = look.since.is_some() && column != "created_at_ms";
    let some = [(categories, Lead::Categories), (price, Lead::Price), (since, Lead::Since)];
    some.into_iter().filter_map(|(is_there, lead)| is_there.then_some(lead))
}

async fn is_few(connection: &impl ConnectionTrait, look: &Look, lead: Lead) -> Result<bool> {
    let (sql, values) = count(look, lead);
    let row = connection.query_one_raw(statement(connection, sql, values)).await.map_err(fault)?;
    let counted = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?;
    Ok(counted.is_some_and(|counted| counted < FEW))
}

impl From<Row> for ItemSummary {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            store_id: row.store_id.into(),
            store_name: row.store_name,
            category_id: row.category_id.into(),
            name: row.name,
            price: row.price_min,
            in_stock: row.in_stock,
            sold: row.sold,
            created_at: Millis(row.created_at_ms),
        }
    }
}

#[derive(Default)]
struct Values(Vec<Value>);

impl Values {
    /// Binds a value; its placeholder.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }
}

fn count(look: &Look, lead: Lead) -> (String, Vec<Value>) {
    let mut values = Values::default();
    let conditions = match lead {
        // Alone: the store's index does not know categories.
        Lead::Categories => one_of(look, lead, &mut values),
        Lead::Price => scope(look, &mut values) + &price(look, "price_min", &mut values),
        Lead::Since | Lead::SortKey => scope(look, &mut values) + &since(look, "created_at_ms", &mut values),
    };
    let some = format!("SELECT 1 AS found FROM item WHERE on_sale AND NOT hidden{conditions} LIMIT {FEW}");
    (format!("SELECT count(*) FROM ({some}) AS counted"), values.0)
}

fn text(look: &Look, lead: Lead) -> (String, Vec<Value>) {
    let (column, direction) = order(look.sort);
    let open = |own: bool, column: &'static str| if own { column.to_owned() } else { out_of_sight(column) };
    let key = open(lead == Lead::SortKey, column);
    let mut values = Values::default();
    let mut conditions = match lead {
        Lead::Categories => String::new(),
        Lead::SortKey | Lead::Price | Lead::Since => scope(look, &mut values),
    };
    conditions += &one_of(look, lead, &mut values);
    if lead == Lead::Categories
        && let Some(store) = look.store
    {
        conditions += &format!(" AND CASE WHEN store_id = {} THEN TRUE ELSE FALSE END", values.bind(store));
    }
    let by_key = |own: &str| lead == Lead::SortKey && column == own;
    conditions += &price(look, &open(lead == Lead::Price || by_key("price_min"), "price_min"), &mut values);
    conditions += &since(look, &open(lead == Lead::Since || by_key("created_at_ms"), "created_at_ms"), &mut values);
    if look.in_stock {
        conditions += " AND in_stock";
    }
    if let Some((at, id)) = look.after {
        let behind = if direction == "ASC" { ">" } else { "<" };
        conditions += &format!(" AND ({key}, id) {behind} ({}, {})", values.bind(at), values.bind(id));
    }
    let limit = values.bind(look.limit);
    // The store's name is looked up for the rows of the page only.
    let sql = format!(
        "SELECT page.*, store.name AS store_name FROM (
             SELECT id, store_id, category_id, name, price_min, in_stock, sold, created_at_ms FROM item
             WHERE on_sale AND NOT hidden{conditions}
             ORDER BY {key} {direction}, id {direction} LIMIT {limit}
         ) AS page JOIN store ON store.id = page.store_id ORDER BY page.{column} {direction}, page.id {direction}"
    );
    (sql, values.0)
}

fn order(sort: ItemSort) -> (&'static str, &'static str) {
    match sort {
        ItemSort::Newest => ("created_at_ms", "DESC"),
        ItemSort::Popular => ("sold", "DESC"),
        ItemSort::PriceUp => ("price_min", "ASC"),
        ItemSort::PriceDown => ("price_min", "DESC"),
    }
}

/// The number as an expression, which no index has.
fn out_of_sight(column: &str) -> String {
    format!("+{column}")
}

/// What the indexes of each sort key begin with.
fn scope(look: &Look, values: &mut Values) -> String {
    match (look.store, look.categories.as_deref()) {
        (Some(store), _) => format!(" AND store_id = {}", values.bind(store)),
        (None, Some(&[category])) => format!(" AND category_id = {}", values.bind(category)),
        (None, _) => String::new(),
    }
}

/// The categories, when they are not the scope; out of sight of the planner unless they lead.
fn one_of(look: &Look, lead: Lead, values: &mut Values) -> String {
    let categories = match look.categories.as_deref() {
        None => return String::new(),
        Some([_]) if look.store.is_none() => return String::new(),
        Some(categories) => categories,
    };
    let list: Vec<String> = categories.iter().map(|&category| values.bind(category)).collect();
    let condition = format!("category_id IN ({})", list.join(", "));
    match lead {
        Lead::Categories => format!(" AND {condition}"),
        Lead::SortKey | Lead::Price | Lead::Since => format!(" AND CASE WHEN {condition} THEN TRUE ELSE FALSE END"),
    }
}

fn price(look: &Look, column: &str, values: &mut Values) -> String {
    let mut conditions = String::new();
    if let Some(price) = look.price_min {
        conditions += &format!(" AND {column} >= {}", values.bind(price));
    }
    if let Some(price) = look.price_max {
        conditions += &format!(" AND {column} <= {}", values.bind(price));
    }
    conditions
}

fn since(look: &Look, column: &str, values: &mut Values) -> String {
    match look.since {
        Some(since) => format!(" AND {column} >= {}", values.bind(since.0)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Migrator, category, item, store};

    const SORTS: [ItemSort; 4] = [ItemSort::Newest, ItemSort::Popular, ItemSort::PriceUp, ItemSort::PriceDown];

    fn id(n: i64) -> Uuid {
        Uuid::from_u128(n.unsigned_abs().into())
    }

    /// 300 items of 3 stores and 7 categories, with few different keys.
    async fn filled() -> (db::Db, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("folder");
        let source = db::Source::Sqlite { dir: dir.path().to_owned() };
        let db = db::Db::open(&source, "catalog", &db::Settings::default()).await.expect("database");
        db::migrate::<Migrator>(&db).await.expect("migrated");
        let txn = db.begin().await.expect("transaction");
        for n in 1..=7 {
            let (name, parent_id) = (n.to_string(), Uuid::nil());
            category::insert(&txn, category::Model { id: id(n), parent_id, name: name.clone() }).await.expect("row");
            let (seller_id, name_folded, description) = (id(1), name.clone(), String::new());
            let opened = store::Model {
                id: id(n),
                seller_id,
                name,
                name_folded,
                description,
                opened_at_ms: 0,
                closed_at_ms: None,
            };
            store::insert(&txn, opened).await.expect("row");
        }
        for n in 1..=300 {
            let row = item::Model {
                id: id(n),
                store_id: id(n % 3 + 1),
                seller_id: id(1),
                category_id: id(n % 7 + 1),
                name: n.to_string(),
                on_sale: n % 11 != 0,
                hidden: n % 13 == 0,
                price_min: n * 31 % 10,
                in_stock: n % 2 == 0,
                sold: n * 17 % 6,
                version: 1,
                created_at_ms: n / 20,
            };
            item::insert(&txn, row).await.expect("row");
        }
        db.commit(txn).await.expect("committed");
        (db, dir)
    }

    fn looks(sort: ItemSort) -> Vec<Look> {
        let mut looks = Vec::new();
        for bits in 0..128 {
            let has = |bit: i32| bits & (1 << bit) != 0;
            looks.push(Look {
                store: has(0).then(|| id(2)),
                categories: match (has(1), has(2)) {
                    (false, false) => None,
                    (true, false) => Some(vec![id(3)]),
                    (_, true) => Some(vec![id(2), id(3), id(5)]),
                },
                price_min: has(3).then_some(2),
                price_max: has(4).then_some(7),
                in_stock: has(5),
                since: has(6).then_some(Millis(4)),
                sort,
                after: None,
                limit: 9,
            });
        }
        looks
    }

    async fn read(db: &db::Db, look: &Look, lead: Lead) -> Vec<After> {
        let (sql, values) = text(look, lead);
        let rows = db.read().query_all_raw(statement(db.read(), sql, values)).await.expect("rows");
        let items = rows.iter().map(|row| ItemSummary::from(Row::from_query_result(row, "").expect("row")));
        items.map(|item| key(look.sort, &item)).collect()
    }

    #[tokio::test]
    async fn every_way_of_reading_answers_alike() {
        let (db, _dir) = filled().await;
        for mut look in SORTS.into_iter().flat_map(looks) {
            for _page in 0..2 {
                let first = read(&db, &look, Lead::SortKey).await;
                for lead in candidates(&look) {
                    assert_eq!(read(&db, &look, lead).await, first, "{lead:?} {look:?}");
                }
                look.after = first.last().copied();
            }
        }
    }

    #[tokio::test]
    async fn each_sort_walks_an_index_of_its_scope() {
        let (db, _dir) = filled().await;
        for sort in SORTS {
            let key = match sort {
                ItemSort::Newest => "newest",
                ItemSort::Popular => "popular",
                ItemSort::PriceUp | ItemSort::PriceDown => "price",
            };
            for mut look in looks(sort) {
                look.after = Some((3, id(5)));
                let index = match (look.store, look.categories.as_ref().map(Vec::len)) {
                    (Some(_), _) => format!("INDEX item_store_{key} "),
                    (None, Some(1)) => format!("INDEX item_category_{key} "),
                    (None, _) => format!("INDEX item_{key} "),
                };
                let (sql, values) = text(&look, Lead::SortKey);
                let plan = plan(&db, &sql, values).await;
                assert!(plan.contains(&index), "{look:?}\n{plan}");
                // One for the page that was read, none for what it is cut from.
                assert!(plan.matches("TEMP B-TREE").count() <= 1, "{look:?}\n{plan}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_few_is_read_through_its_own_index() {
        let (db, _dir) = filled().await;
        let base = looks(ItemSort::Popular).swap_remove(0);
        let categories = Look { categories: Some(vec![id(1), id(2)]), ..base.clone() };
        let price = Look { price_min: Some(1), ..base.clone() };
        let since = Look { since: Some(Millis(1)), ..base };
        for (look, lead, index) in [
            (categories, Lead::Categories, "INDEX item_category_"),
            (price, Lead::Price, "INDEX item_price "),
            (since, Lead::Since, "INDEX item_newest "),
        ] {
            assert_eq!(candidates(&look).collect::<Vec<_>>(), [lead]);
            for (sql, values) in [text(&look, lead), count(&look, lead)] {
                let plan = plan(&db, &sql, values).await;
                assert!(plan.contains(index), "{look:?}\n{plan}");
            }
        }
    }

    async fn plan(db: &db::Db, sql: &str, values: Vec<Value>) -> String {
        let explain = statement(db.read(), format!("EXPLAIN QUERY PLAN {sql}"), values);
        let rows = db.read().query_all_raw(explain).await.expect("plan");
        rows.iter().map(|row| row.try_get::<String>("", "detail").expect("detail") + "\n").collect()
    }
}
