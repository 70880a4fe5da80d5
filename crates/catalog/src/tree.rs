//! The category tree: pure rules over all of its rows, of which there are few.

use std::collections::HashMap;

use kit::{Fault, Result};
use uuid::Uuid;

use crate::table::category::Model;

/// Categories of a market: the whole tree is one answer.
pub(crate) const CATEGORIES_MAX: usize = 2_000;
/// Levels of the tree.
pub(crate) const DEPTH_MAX: usize = 8;

/// Whether `placed` (new, or a changed row of `rows`) may stand where its parent says.
/// Errors: `invalid_fields` (`/parent_id` `unknown`, `cycle` or `too_deep`, `/name` `too_many`).
pub(crate) fn may_stand(rows: &[Model], placed: &Model) -> Result<()> {
    let is_new = rows.iter().all(|row| row.id != placed.id);
    if is_new && rows.len() >= CATEGORIES_MAX {
        return Err(Fault::field("/name", "too_many", format!("at most {CATEGORIES_MAX} categories")));
    }
    let parents: HashMap<Uuid, Uuid> = rows.iter().map(|row| (row.id, row.parent_id)).collect();
    if !placed.parent_id.is_nil() && !parents.contains_key(&placed.parent_id) {
        return Err(Fault::field("/parent_id", "unknown", "there is no such category"));
    }
    let mut above = 0;
    let mut at = placed.parent_id;
    while !at.is_nil() && above <= DEPTH_MAX {
        if at == placed.id {
            return Err(Fault::field("/parent_id", "cycle", "a category cannot be below itself"));
        }
        above += 1;
        at = parents.get(&at).copied().unwrap_or_default();
    }
    if above + height(rows, placed.id) > DEPTH_MAX {
        return Err(Fault::field("/parent_id", "too_deep", format!("at most {DEPTH_MAX} levels")));
    }
    Ok(())
}

/// Levels from this category down, itself included.
fn height(rows: &[Model], id: Uuid) -> usize {
    let mut level = vec![id];
    let mut levels = 0;
    while !level.is_empty() && levels <= DEPTH_MAX {
        levels += 1;
        level = rows.iter().filter(|row| level.contains(&row.parent_id)).map(|row| row.id).collect();
    }
    levels
}

/// Each category before what is below it, siblings by name.
pub(crate) fn in_order(rows: Vec<Model>) -> Vec<Model> {
    let mut below: HashMap<Uuid, Vec<Model>> = HashMap::new();
    for row in rows {
        below.entry(row.parent_id).or_default().push(row);
    }
    for siblings in below.values_mut() {
        // Popped from the end below.
        siblings.sort_by(|a, b| b.name.cmp(&a.name));
    }
    let mut sorted = Vec::new();
    let mut waiting = below.remove(&Uuid::nil()).unwrap_or_default();
    while let Some(row) = waiting.pop() {
        waiting.extend(below.remove(&row.id).unwrap_or_default());
        sorted.push(row);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn row(n: u128, parent: u128, name: &str) -> Model {
        Model { id: id(n), parent_id: id(parent), name: name.into() }
    }

    /// 1 ─ 2 ─ 3 and a root 4.
    fn tree() -> Vec<Model> {
        vec![row(1, 0, "food"), row(2, 1, "fruit"), row(3, 2, "apples"), row(4, 0, "books")]
    }

    #[test]
    fn a_category_stands_below_another_but_never_below_itself() {
        let check = |placed: Model, expected: Option<&str>| {
            let fields = may_stand(&tree(), &placed).err().map(|fault| fault.fields);
            let reason = fields.as_ref().map(|fields| &*fields[0].reason);
            assert_eq!(reason, expected, "{placed:?}");
        };
        check(row(5, 0, "new root"), None);
        check(row(5, 3, "new leaf"), None);
        check(row(5, 9, "lost"), Some("unknown"));
        check(row(2, 4, "moved"), None);
        check(row(4, 3, "moved"), None);
        check(row(1, 1, "itself"), Some("cycle"));
        check(row(1, 3, "its grandchild"), Some("cycle"));
    }

    #[test]
    fn depth_and_number_are_limited() {
        let chain: Vec<Model> = (1..=DEPTH_MAX as u128).map(|n| row(n, n - 1, "x")).collect();
        assert!(may_stand(&chain, &row(100, DEPTH_MAX as u128 - 1, "fits")).is_ok());
        let fault = may_stand(&chain, &row(100, DEPTH_MAX as u128, "one more")).expect_err("too deep");
        assert_eq!(fault.fields[0].reason, "too_deep");
        // A move takes what is below along.
        let mut two = chain;
        two.push(row(100, 0, "root"));
        assert_eq!(may_stand(&two, &row(1, 100, "x")).expect_err("too deep").fields[0].reason, "too_deep");

        let many: Vec<Model> = (1..=CATEGORIES_MAX as u128).map(|n| row(n, 0, "x")).collect();
        assert_eq!(may_stand(&many, &row(9_999, 0, "x")).expect_err("full").fields[0].reason, "too_many");
        assert!(may_stand(&many, &row(1, 2, "moved")).is_ok());
    }

    #[test]
    fn parents_come_first_and_siblings_by_name() {
        let names: Vec<String> = in_order(tree()).into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["books", "food", "fruit", "apples"]);
    }
}
