//! What shall be in the market afterwards: read from the files and put together, not yet judged by the market.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use anyhow::{Result, bail};
use contract::order::StockReason;
use kit::Personal;
use serde::Deserialize;

use super::file::{Columns, Files, Others, read};
use super::report::Report;

/// Where something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: &'static str,
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub stores: Vec<StorePlan>,
    pub items: Vec<ItemPlan>,
    pub changes: Vec<ChangePlan>,
}

#[derive(Debug)]
pub(super) struct StorePlan {
    pub at: Place,
    pub name: String,
    pub description: String,
    pub seller_email: Personal,
    pub seller_name: Personal,
}

#[derive(Debug)]
pub(super) struct ItemPlan {
    pub at: Place,
    pub store: String,
    pub name: String,
    /// From the root down.
    pub category: Vec<String>,
    pub description: String,
    pub on_sale: bool,
    pub hidden: bool,
    pub options: Vec<OptionPlan>,
}

#[derive(Debug)]
pub(super) struct OptionPlan {
    pub at: Place,
    pub name: String,
    pub price: i64,
    pub stock: i64,
    pub limit_per_member: Option<i64>,
    pub limit_days: Option<i64>,
}

/// A change of stock by a difference.
#[derive(Debug)]
pub(super) struct ChangePlan {
    pub at: Place,
    pub store: String,
    pub item: String,
    pub option: String,
    pub difference: i64,
    pub reason: StockReason,
    /// Names the change, so that it is made once.
    pub reference: String,
}

/// Separates the levels of a category.
const LEVELS: char = '>';
/// A seller without a name is called after the store; names of people are shorter.
const PERSON_CHARS_MAX: usize = 50;

#[derive(Deserialize)]
struct StoreRow {
    name: String,
    seller_email: Personal,
    #[serde(default)]
    seller_name: Option<String>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct ItemRow {
    store: String,
    name: String,
    category: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    on_sale: Option<bool>,
    #[serde(default)]
    hidden: Option<bool>,
}

/// Numbers are read later, so that one that is wrong is known to belong to an item.
#[derive(Deserialize)]
struct OptionRow {
    store: String,
    item: String,
    name: String,
    price: String,
    #[serde(default)]
    stock: String,
    #[serde(default)]
    limit_per_member: String,
    #[serde(default)]
    limit_days: String,
}

#[derive(Deserialize)]
struct StockRow {
    store: String,
    item: String,
    option: String,
    difference: i64,
    reason: StockReason,
    reference: String,
}

const STORES: Columns =
    Columns { needed: &["name", "seller_email"], optional: &["seller_name", "description"], others: Others::Refused };
const ITEMS: Columns = Columns {
    needed: &["store", "name", "category"],
    optional: &["description", "on_sale", "hidden"],
    others: Others::Refused,
};
const OPTIONS: Columns = Columns {
    needed: &["store", "item", "name", "price"],
    optional: &["stock", "limit_per_member", "limit_days"],
    others: Others::Refused,
};
const STOCK: Columns = Columns {
    needed: &["store", "item", "option", "difference", "reason", "reference"],
    optional: &[],
    others: Others::Refused,
};

/// The form in which names of stores are compared, here and in the market.
pub(super) fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

impl Plan {
    /// Reads stores.csv, items.csv, options.csv and stock.csv, whichever are there.
    pub(super) fn read(files: &Files<'_>, report: &mut Report) -> Result<Self> {
        let mut plan = Self::default();
        let mut items = Items::default();
        let stores = plan.read_stores(files, report)?;
        let any_items = items.read(files, report)?;
        let options = items.read_options(files, report)?;
        let stock = plan.read_stock(files, report)?;
        if ![stores, any_items, options, stock].contains(&true) {
            bail!("none of stores.csv, items.csv, options.csv and stock.csv is there");
        }
        plan.items = items.finish(report);
        Ok(plan)
    }

    fn read_stores(&mut self, files: &Files<'_>, report: &mut Report) -> Result<bool> {
        let mut lines: HashMap<String, u64> = HashMap::new();
        read(files, "stores.csv", &STORES, report, |at, row: StoreRow, report| {
            match lines.entry(fold(&row.name)) {
                Entry::Occupied(first) => return report.refuse(at, format!("line {} has this name", first.get())),
                Entry::Vacant(free) => free.insert(at.line),
            };
            let named = row.seller_name.filter(|name| !name.is_empty());
            let seller_name = named.unwrap_or_else(|| row.name.chars().take(PERSON_CHARS_MAX).collect());
            self.stores.push(StorePlan {
                at,
                name: row.name,
                description: row.description,
                seller_email: row.seller_email,
                seller_name: Personal::new(seller_name),
            });
        })
    }

    fn read_stock(&mut self, files: &Files<'_>, report: &mut Report) -> Result<bool> {
        read(files, "stock.csv", &STOCK, report, |at, row: StockRow, report| {
            if row.reference.is_empty() {
                return report.refuse(at, "reference: must not be empty");
            }
            let StockRow { store, item, option, difference, reason, reference } = row;
            self.changes.push(ChangePlan { at, store, item, option, difference, reason, reference });
        })
    }
}

/// Items while their options are still being read.
#[derive(Default)]
struct Items {
    items: Vec<ItemPlan>,
    /// By store (folded) and item.
    places: HashMap<(String, String), usize>,
    /// An item of which an option was refused is not imported: it would lack what its seller meant it to have.
    broken: Vec<bool>,
}

impl Items {
    fn read(&mut self, files: &Files<'_>, report: &mut Report) -> Result<bool> {
        read(files, "items.csv", &ITEMS, report, |at, row: ItemRow, report| {
            match self.places.entry((fold(&row.store), row.name.clone())) {
                Entry::Occupied(first) => {
                    let line = self.items[*first.get()].at.line;
                    return report.refuse(at, format!("line {line} has this name in the same store"));
                }
                Entry::Vacant(free) => free.insert(self.items.len()),
            };
            self.broken.push(false);
            self.items.push(ItemPlan {
                at,
                store: row.store,
                name: row.name,
                category: row.category.split(LEVELS).map(|level| level.trim().to_owned()).collect(),
                description: row.description,
                on_sale: row.on_sale.unwrap_or(true),
                hidden: row.hidden.unwrap_or(false),
                options: Vec::new(),
            });
        })
    }

    fn read_options(&mut self, files: &Files<'_>, report: &mut Report) -> Result<bool> {
        let before = report.refused_total;
        let mut known = 0;
        let found = read(files, "options.csv", &OPTIONS, report, |at, row: OptionRow, report| {
            let item = self.places.get(&(fold(&row.store), row.item.clone())).copied();
            let option = match item {
                None => Err("items.csv has no such item of this store".into()),
                Some(item) if self.items[item].options.iter().any(|option| option.name == row.name) => {
                    Err("the item has another option of this name".into())
                }
                Some(_) => option(at, row),
            };
            match (option, item) {
                (Ok(option), Some(item)) => self.items[item].options.push(option),
                (Ok(_), None) => {}
                (Err(reason), item) => {
                    known += 1;
                    report.refuse(at, reason);
                    if let Some(item) = item {
                        self.broken[item] = true;
                    }
                }
            }
        })?;
        let unreadable = report.refused_total - before - known;
        if unreadable > 0 {
            let note = format!("{unreadable} rows of options.csv cannot be read, so an item may lack an option");
            report.notes.push(note);
        }
        Ok(found)
    }

    fn finish(self, report: &mut Report) -> Vec<ItemPlan> {
        let mut whole = Vec::with_capacity(self.items.len());
        for (item, broken) in self.items.into_iter().zip(self.broken) {
            match (broken, item.options.is_empty()) {
                (false, false) => whole.push(item),
                (true, _) => report.refuse(item.at, "one of its options was refused"),
                (false, true) => report.refuse(item.at, "options.csv has no option of it that can be read"),
            }
        }
        whole
    }
}

fn option(at: Place, row: OptionRow) -> Result<OptionPlan, String> {
    Ok(OptionPlan {
        at,
        price: number("price", &row.price)?.ok_or("price: must not be empty")?,
        stock: number("stock", &row.stock)?.unwrap_or(0),
        limit_per_member: number("limit_per_member", &row.limit_per_member)?,
        limit_days: number("limit_days", &row.limit_days)?,
        name: row.name,
    })
}

fn number(column: &str, text: &str) -> Result<Option<i64>, String> {
    match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| format!("{column}: not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(texts: &[(&'static str, &'static str)]) -> (Plan, Vec<String>) {
        let mut report = Report::default();
        let plan = Plan::read(&Files::Texts(texts), &mut report).expect("readable");
        (plan, report.refused.iter().map(|refusal| format!("{} {}", refusal.at, refusal.reason)).collect())
    }

    #[test]
    fn items_are_put_together_with_their_options() {
        let (plan, refused) = plan(&[
            ("stores.csv", "name,seller_email\nApple House,a@example.com\n"),
            ("items.csv", "store,name,category,hidden\napple house,Fuji,Food > Fruit,true\nApple House,Gala,Food,\n"),
            (
                "options.csv",
                "store,item,name,price,stock\nAPPLE HOUSE,Fuji,1 kg,900,5\nApple House,Fuji,3 kg,2500,\n\
                             Apple House,Gala,1 kg,800,1\n",
            ),
            (
                "stock.csv",
                "store,item,option,difference,reason,reference\nApple House,Fuji,1 kg,-2,correction,count 7\n",
            ),
        ]);
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(plan.stores[0].seller_name.expose(), "Apple House");
        let fuji = &plan.items[0];
        assert_eq!(fuji.category, ["Food", "Fruit"]);
        assert_eq!((fuji.hidden, fuji.on_sale, plan.items[1].hidden), (true, true, false));
        let options: Vec<(&str, i64, i64)> = fuji.options.iter().map(|o| (&*o.name, o.price, o.stock)).collect();
        assert_eq!(options, [("1 kg", 900, 5), ("3 kg", 2_500, 0)]);
        assert_eq!((plan.changes[0].difference, plan.changes[0].reason), (-2, StockReason::Correction));
    }

    #[test]
    fn an_item_is_whole_or_refused() {
        let (plan, refused) = plan(&[
            ("stores.csv", "name,seller_email\nS,a@example.com\ns,b@example.com\n"),
            ("items.csv", "store,name,category\nS,a,c\nS,a,c\nS,b,c\nS,d,c\nS,e,c\n"),
            ("options.csv", "store,item,name,price\nS,a,o,1\nS,b,o,1.5\nS,b,p,1\nS,d,o,1\nS,d,o,2\nS,x,o,1\n"),
            ("stock.csv", "store,item,option,difference,reason,reference\nS,a,o,1,restock,\nS,a,o,1,gift,r\n"),
        ]);
        assert_eq!(plan.items.iter().map(|item| &*item.name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(
            refused,
            [
                "stores.csv:3 line 2 has this name",
                "items.csv:3 line 2 has this name in the same store",
                "options.csv:3 price: not a whole number",
                "options.csv:6 the item has another option of this name",
                "options.csv:7 items.csv has no such item of this store",
                "stock.csv:2 reference: must not be empty",
                "stock.csv:3 unknown variant `gift`, expected `restock` or `correction`",
                "items.csv:4 one of its options was refused",
                "items.csv:5 one of its options was refused",
                "items.csv:6 options.csv has no option of it that can be read",
            ]
        );
    }

    #[test]
    fn a_folder_without_any_of_the_files_is_an_error() {
        assert!(Plan::read(&Files::Texts(&[]), &mut Report::default()).is_err());
    }
}
