//! The Olist e-commerce data set as a market: its sellers get a store each, its products become items of the stores
//! that sold them, with an option for each price they were sold at.
//!
//! Amounts are reais with two decimals, taken as minor units (99.90 becomes 9990). A product that nobody sold has
//! neither a store nor a price: it is counted in the report, and no price is made up for it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};
use kit::Personal;
use serde::Deserialize;

use super::file::{self, Columns, Files, Others};
use super::plan::{ItemPlan, OptionPlan, Place, Plan, StorePlan};
use super::report::Report;

/// Characters of an id that tell one from another in names; where they do not, the whole id is used.
const SHORT_CHARS: usize = 8;
/// Of a city in the name of a store.
const CITY_CHARS_MAX: usize = 50;
/// Where products without a category go.
const NO_CATEGORY: &str = "sem categoria";

#[derive(Deserialize)]
struct SellerRow {
    seller_id: String,
    seller_zip_code_prefix: String,
    seller_city: String,
    seller_state: String,
}

#[derive(Deserialize)]
struct ProductRow {
    product_id: String,
    product_category_name: String,
    product_photos_qty: String,
    product_weight_g: String,
    product_length_cm: String,
    product_height_cm: String,
    product_width_cm: String,
}

#[derive(Deserialize)]
struct OrderItemRow {
    product_id: String,
    seller_id: String,
    shipping_limit_date: String,
    price: String,
}

const SELLERS: Columns = Columns {
    needed: &["seller_id", "seller_zip_code_prefix", "seller_city", "seller_state"],
    optional: &[],
    others: Others::Ignored,
};
const PRODUCTS: Columns = Columns {
    needed: &[
        "product_id",
        "product_category_name",
        "product_photos_qty",
        "product_weight_g",
        "product_length_cm",
        "product_height_cm",
        "product_width_cm",
    ],
    optional: &[],
    others: Others::Ignored,
};
const ORDER_ITEMS: Columns = Columns {
    needed: &["product_id", "seller_id", "shipping_limit_date", "price"],
    optional: &[],
    others: Others::Ignored,
};

/// Where something is that has no line.
const NOWHERE: Place = Place { file: "order_items.csv", line: 0 };

/// What was sold at one price.
struct Sold {
    at: Place,
    units: i64,
    /// The latest time in the file; its text sorts as the time does.
    last: String,
}

/// By product and seller, and then by price in minor units.
type Sales = BTreeMap<(String, String), BTreeMap<i64, Sold>>;

pub(super) fn read(files: &Files<'_>, report: &mut Report) -> Result<Plan> {
    let mut sellers: Vec<(Place, SellerRow)> = Vec::new();
    let mut products: Vec<(Place, ProductRow)> = Vec::new();
    let mut sales = Sales::new();
    let found = [
        file::read(files, "sellers.csv", &SELLERS, report, |at, row, _| sellers.push((at, row)))?,
        file::read(files, "products.csv", &PRODUCTS, report, |at, row, _| products.push((at, row)))?,
        file::read(files, "order_items.csv", &ORDER_ITEMS, report, |at, row, report| {
            count(&mut sales, at, row, report)
        })?,
    ];
    if found.contains(&false) {
        bail!("sellers.csv, products.csv and order_items.csv are all needed");
    }
    let stores = stores(sellers);
    let items = items(products, &stores, &sales, report);
    Ok(Plan { stores: stores.into_values().collect(), items, changes: Vec::new() })
}

/// One unit sold.
fn count(sales: &mut Sales, at: Place, row: OrderItemRow, report: &mut Report) {
    let Some(price) = minor_units(&row.price) else {
        return report.refuse(at, "price: not an amount with at most two decimals");
    };
    let prices = sales.entry((row.product_id, row.seller_id)).or_default();
    let sold = prices.entry(price).or_insert(Sold { at, units: 0, last: String::new() });
    sold.units += 1;
    sold.last = std::mem::take(&mut sold.last).max(row.shipping_limit_date);
}

/// `99.9` and `99.90` are 9990.
fn minor_units(amount: &str) -> Option<i64> {
    let (whole, cents) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || cents.len() > 2 || !digits(whole) || !digits(cents) {
        return None;
    }
    let cents: i64 = format!("{cents:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)
}

/// By the seller's id.
fn stores(sellers: Vec<(Place, SellerRow)>) -> BTreeMap<String, StorePlan> {
    let short = short(sellers.iter().map(|(_, row)| &*row.seller_id));
    sellers.into_iter().map(|(at, row)| (row.seller_id.clone(), store(at, &row, &short))).collect()
}

fn store(at: Place, row: &SellerRow, short: &HashMap<String, String>) -> StorePlan {
    let SellerRow { seller_id, seller_zip_code_prefix, seller_city, seller_state } = row;
    let city: String = seller_city.chars().take(CITY_CHARS_MAX).collect();
    let id = short.get(seller_id).unwrap_or(seller_id);
    StorePlan {
        at,
        name: format!("{city} {seller_state} {id}"),
        description: format!("Olist seller {seller_id}, {seller_zip_code_prefix} {city}, {seller_state}"),
        // `.example` is nobody's (RFC 2606): no mail can reach a stranger.
        seller_email: Personal::new(format!("{seller_id}@olist.example")),
        seller_name: Personal::new(format!("Olist {id}")),
    }
}

/// The items of every store, and words on the products that are left out.
fn items(
    products: Vec<(Place, ProductRow)>,
    stores: &BTreeMap<String, StorePlan>,
    sales: &Sales,
    report: &mut Report,
) -> Vec<ItemPlan> {
    let short = short(products.iter().map(|(_, row)| &*row.product_id));
    let products: BTreeMap<String, (Place, ProductRow)> =
        products.into_iter().map(|(at, row)| (row.product_id.clone(), (at, row))).collect();
    let mut items = Vec::with_capacity(sales.len());
    let mut sellers_of: HashMap<&str, u64> = HashMap::new();
    for ((product, seller), prices) in sales {
        match (products.get(product), stores.get(seller)) {
            (Some((at, row)), Some(store)) => {
                *sellers_of.entry(product).or_default() += 1;
                items.push(item(*at, row, &short, &store.name, prices));
            }
            _ => {
                let first = prices.values().map(|sold| sold.at).min_by_key(|at| at.line);
                report.refuse(first.unwrap_or(NOWHERE), "its product or its seller is not in the files");
            }
        }
    }
    let unsold = products.len() - sellers_of.len();
    let shared = sellers_of.values().filter(|sellers| **sellers > 1).count();
    report.notes.push(format!("{unsold} products were never sold: without a seller and a price they are left out"));
    report.notes.push(format!("{shared} products were sold by several sellers, each of whom has an item of it"));
    items
}

fn item(
    at: Place,
    row: &ProductRow,
    short: &HashMap<String, String>,
    store: &str,
    prices: &BTreeMap<i64, Sold>,
) -> ItemPlan {
    let category = match row.product_category_name.is_empty() {
        true => NO_CATEGORY.to_owned(),
        false => row.product_category_name.replace('_', " "),
    };
    let mut options: Vec<(&i64, &Sold)> = prices.iter().collect();
    // The price asked last comes first.
    options.sort_by(|(_, a), (_, b)| b.last.cmp(&a.last));
    ItemPlan {
        at,
        store: store.to_owned(),
        name: format!("{category} {}", short.get(&row.product_id).unwrap_or(&row.product_id)),
        description: description(row),
        category: vec![category],
        on_sale: true,
        hidden: false,
        options: options.into_iter().map(|(&price, sold)| option(price, sold)).collect(),
    }
}

/// One for each price, with as many units as were ordered at it.
fn option(price: i64, sold: &Sold) -> OptionPlan {
    OptionPlan {
        at: sold.at,
        name: format!("R$ {}.{:02}", price / 100, price % 100),
        price,
        stock: sold.units,
        limit_per_member: None,
        limit_days: None,
    }
}

fn description(row: &ProductRow) -> String {
    let mut text = format!("Olist product `{}`\n", row.product_id);
    for (name, value, unit) in [
        ("weight", &row.product_weight_g, "g"),
        ("length", &row.product_length_cm, "cm"),
        ("height", &row.product_height_cm, "cm"),
        ("width", &row.product_width_cm, "cm"),
        ("photos", &row.product_photos_qty, ""),
    ] {
        if !value.is_empty() {
            text += format!("\n- {name}: {value} {unit}").trim_end();
        }
    }
    text
}

/// A shorter text for each id that begins like no other, and the id itself for the rest.
fn short<'a>(ids: impl Iterator<Item = &'a str> + Clone) -> HashMap<String, String> {
    let start = |id: &str| id.chars().take(SHORT_CHARS).collect::<String>();
    let mut starts: HashMap<String, u64> = HashMap::new();
    for id in ids.clone() {
        *starts.entry(start(id)).or_default() += 1;
    }
    let shorten = |id: &str| match starts.get(&start(id)) {
        Some(1) => start(id),
        _ => id.to_owned(),
    };
    ids.map(|id| (id.to_owned(), shorten(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELLERS: &str = "seller_id,seller_zip_code_prefix,seller_city,seller_state
aaaaaaaa1111,01000,sao paulo,SP
bbbbbbbb1111,02000,rio,RJ
bbbbbbbb2222,02001,rio,RJ
";
    const PRODUCTS: &str = "product_id,product_category_name,product_name_lenght,product_photos_qty,product_weight_g,\
product_length_cm,product_height_cm,product_width_cm
p1p1p1p1xxxx,moveis_decoracao,9,2,1500,10,20,30
p2p2p2p2xxxx,,9,,,,,
p3p3p3p3xxxx,bebes,9,1,1,1,1,1
";
    const ORDER_ITEMS: &str = "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value
o1,1,p1p1p1p1xxxx,aaaaaaaa1111,2018-01-02 00:00:00,99.9,1
o2,1,p1p1p1p1xxxx,aaaaaaaa1111,2018-03-02 00:00:00,120.0,1
o3,1,p1p1p1p1xxxx,aaaaaaaa1111,2018-02-02 00:00:00,99.90,1
o3,2,p1p1p1p1xxxx,bbbbbbbb2222,2018-02-02 00:00:00,5,1
o4,1,p2p2p2p2xxxx,bbbbbbbb2222,2018-02-02 00:00:00,0.05,1
o5,1,p9,bbbbbbbb2222,2018-02-02 00:00:00,1.00,1
o6,1,p1p1p1p1xxxx,bbbbbbbb2222,2018-02-02 00:00:00,1.005,1
";

    #[test]
    fn amounts_are_exact() {
        for (text, expected) in [
            ("99.9", Some(9_990)),
            ("99.90", Some(9_990)),
            ("144.0", Some(14_400)),
            ("5", Some(500)),
            ("0.05", Some(5)),
            ("1.005", None),
            ("-1.00", None),
            ("1,00", None),
            ("", None),
            (".5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(minor_units(text), expected, "{text:?}");
        }
    }

    #[test]
    fn products_become_items_of_those_who_sold_them() {
        let mut report = Report::default();
        let texts = [("sellers.csv", SELLERS), ("products.csv", PRODUCTS), ("order_items.csv", ORDER_ITEMS)];
        let plan = read(&Files::Texts(&texts), &mut report).expect("readable");
        let stores: Vec<&str> = plan.stores.iter().map(|store| &*store.name).collect();
        assert_eq!(stores, ["sao paulo SP aaaaaaaa", "rio RJ bbbbbbbb1111", "rio RJ bbbbbbbb2222"]);
        let items: Vec<(&str, &str, &str)> =
            plan.items.iter().map(|item| (&*item.store, &*item.name, &*item.category[0])).collect();
        assert_eq!(
            items,
            [
                ("sao paulo SP aaaaaaaa", "moveis decoracao p1p1p1p1", "moveis decoracao"),
                ("rio RJ bbbbbbbb2222", "moveis decoracao p1p1p1p1", "moveis decoracao"),
                ("rio RJ bbbbbbbb2222", "sem categoria p2p2p2p2", "sem categoria"),
            ]
        );
        let options: Vec<(&str, i64, i64)> =
            plan.items[0].options.iter().map(|option| (&*option.name, option.price, option.stock)).collect();
        assert_eq!(options, [("R$ 120.00", 12_000, 1), ("R$ 99.90", 9_990, 2)]);
        assert_eq!(
            plan.items[1].description,
            "Olist product `p1p1p1p1xxxx`\n\n- weight: 1500 g\n- length: 10 cm\n\
                                               - height: 20 cm\n- width: 30 cm\n- photos: 2"
        );
        assert!(report.notes[0].starts_with("1 products were never sold"), "{:?}", report.notes);
        assert!(report.notes[1].starts_with("1 products were sold by several"), "{:?}", report.notes);
        let refused: Vec<&str> = report.refused.iter().map(|refusal| &*refusal.at).collect();
        assert_eq!(refused, ["order_items.csv:8", "order_items.csv:7"]);
    }

    #[test]
    fn all_three_files_are_needed() {
        let texts = [("sellers.csv", SELLERS), ("products.csv", PRODUCTS)];
        assert!(read(&Files::Texts(&texts), &mut Report::default()).is_err());
    }
}
