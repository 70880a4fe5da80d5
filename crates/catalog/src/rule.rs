//! What a seller's list of options makes of an item's options.

use std::collections::HashSet;

use contract::catalog::OptionBody;
use kit::{Code, Fault, FieldError, Ids, Result};
use uuid::Uuid;

use crate::table::option::Model;

/// Options an item may ever have had. Withdrawn ones are kept, because orders know them.
pub(crate) const OPTIONS_EVER_MAX: usize = 500;

/// The rows to write: the options wanted, in their order, then those that were left out, withdrawn.
/// A withdrawn option whose id is given is offered again.
///
/// Errors: `invalid_fields`, each wrong field (`/options/3/id` `unknown` or `repeated`, `/options/3/name` `taken`,
/// `/options/3/stock` `not_changed_here`, `/options` `too_many`).
pub(crate) fn options(item: Uuid, now: &[Model], wanted: &[OptionBody], ids: &dyn Ids) -> Result<Vec<Model>> {
    let mut wrong = Vec::new();
    let mut named = HashSet::new();
    let mut kept = HashSet::new();
    let mut rows = Vec::with_capacity(wanted.len().max(now.len()));
    for (n, body) in wanted.iter().enumerate() {
        let name = body.name.trim();
        if !named.insert(name) {
            wrong.push(field(n, "name", "taken", "another option has this name"));
        }
        let known = body.id.and_then(|id| now.iter().find(|row| row.id == id.0));
        match (body.id, known) {
            (None, _) => {}
            (Some(_), None) => wrong.push(field(n, "id", "unknown", "the item has no such option")),
            (Some(id), Some(_)) if !kept.insert(id.0) => {
                wrong.push(field(n, "id", "repeated", "the option is listed twice"));
            }
            (Some(_), Some(_)) if body.stock > 0 => {
                let why = "the stock of an existing option is changed by a difference, at its stock address";
                wrong.push(field(n, "stock", "not_changed_here", why));
            }
            (Some(_), Some(_)) => {}
        }
        rows.push(row(item, n, body, known, ids));
    }
    rows.extend(now.iter().filter(|row| !kept.contains(&row.id)).map(|row| Model { withdrawn: true, ..row.clone() }));
    if rows.len() > OPTIONS_EVER_MAX {
        let detail = format!("an item can have had at most {OPTIONS_EVER_MAX} options, withdrawn ones counted");
        wrong.push(FieldError { pointer: "/options".into(), reason: "too_many".into(), detail: detail.into() });
    }
    match wrong.is_empty() {
        true => Ok(rows),
        false => Err(Fault { fields: wrong, ..Fault::new(Code::InvalidFields) }),
    }
}

fn row(item: Uuid, position: usize, body: &OptionBody, known: Option<&Model>, ids: &dyn Ids) -> Model {
    Model {
        item_id: item,
        id: known.map_or_else(|| ids.next(), |row| row.id),
        position: i64::try_from(position).unwrap_or(i64::MAX),
        name: body.name.trim().to_owned(),
        price: body.price,
        initial_stock: known.map_or(body.stock, |row| row.initial_stock),
        limit_per_member: body.limit_per_member,
        limit_days: body.limit_days,
        withdrawn: false,
        // Until the order service says otherwise.
        in_stock: known.map_or(body.stock > 0, |row| row.in_stock),
        turned_at_ms: known.map_or(0, |row| row.turned_at_ms),
    }
}

fn field(n: usize, member: &str, reason: &'static str, detail: &'static str) -> FieldError {
    FieldError { pointer: format!("/options/{n}/{member}").into(), reason: reason.into(), detail: detail.into() }
}

/// The lowest price that is offered; 0 when nothing is.
pub(crate) fn price_min(options: &[Model]) -> i64 {
    options.iter().filter(|row| !row.withdrawn).map(|row| row.price).min().unwrap_or(0)
}

/// Whether anything that is offered can be bought.
pub(crate) fn in_stock(options: &[Model]) -> bool {
    options.iter().any(|row| row.in_stock && !row.withdrawn)
}

#[cfg(test)]
mod tests {
    use kit::SystemIds;
    use kit::id::OptionId;

    use super::*;

    const ITEM: Uuid = Uuid::from_u128(1);

    fn body(id: Option<Uuid>, name: &str, price: i64, stock: i64) -> OptionBody {
        OptionBody { id: id.map(OptionId), name: name.into(), price, stock, limit_per_member: None, limit_days: None }
    }

    fn check(now: &[Model], wanted: &[OptionBody], expected: &[(&str, &str)]) {
        let fields = options(ITEM, now, wanted, &SystemIds).err().map(|fault| fault.fields).unwrap_or_default();
        let found: Vec<(&str, &str)> = fields.iter().map(|field| (&*field.pointer, &*field.reason)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn ids_are_kept_and_those_left_out_are_withdrawn() {
        let first =
            options(ITEM, &[], &[body(None, "S", 300, 1), body(None, "M", 200, 0)], &SystemIds).expect("new options");
        assert_eq!((price_min(&first), in_stock(&first)), (200, true));
        let wanted = [body(None, "L", 500, 0), body(Some(first[1].id), "Medium", 400, 0)];
        let second = options(ITEM, &first, &wanted, &SystemIds).expect("edited options");
        let shown: Vec<(&str, bool)> = second.iter().map(|row| (&*row.name, row.withdrawn)).collect();
        assert_eq!(shown, [("L", false), ("Medium", false), ("S", true)]);
        assert_eq!(second[1].id, first[1].id);
        assert_eq!((price_min(&second), in_stock(&second)), (400, false));
        let third = options(ITEM, &second, &[body(Some(first[0].id), "S", 1, 0)], &SystemIds).expect("offered again");
        assert_eq!(third.iter().filter(|row| !row.withdrawn).count(), 1);
        assert!(in_stock(&third), "what is known of its stock was kept");
    }

    #[test]
    fn every_wrong_field_is_named() {
        let now = options(ITEM, &[], &[body(None, "S", 1, 1)], &SystemIds).expect("new options");
        let known = Some(now[0].id);
        check(&now, &[body(known, "S", 2, 0), body(None, "M", 2, 5)], &[]);
        check(&[], &[body(known, "S", 1, 0)], &[("/options/0/id", "unknown")]);
        check(&now, &[body(None, "A", 1, 0), body(None, " A ", 1, 0)], &[("/options/1/name", "taken")]);
        check(&now, &[body(known, "A", 1, 0), body(known, "B", 1, 0)], &[("/options/1/id", "repeated")]);
        check(&now, &[body(known, "A", 1, 3)], &[("/options/0/stock", "not_changed_here")]);
        let many: Vec<OptionBody> = (0..OPTIONS_EVER_MAX).map(|n| body(None, &n.to_string(), 1, 0)).collect();
        check(&now, &many, &[("/options", "too_many")]);
    }
}
