//! Checks of the catalogue's database that an operator can run at any time.

use db::{Db, fault, statement};
use kit::Result;
use kit::audit::{BREACHES_MAX, Check};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

/// A rule, the rows it is about, and a statement that finds the id of each row (of a key: its member) that breaks it.
struct Rule {
    invariant: &'static str,
    rule: &'static str,
    rows: &'static str,
    breach: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        invariant: "I9",
        rule: "every idempotency record of the catalogue holds an answer",
        rows: "SELECT count(*) FROM idempotency",
        breach: "SELECT member_id FROM idempotency WHERE coalesce(answer, '') NOT LIKE '{%}'",
    },
    Rule {
        invariant: "I13",
        rule: "every event of the catalogue that waits in the outbox is whole",
        rows: "SELECT count(*) FROM outbox",
        breach: "SELECT id FROM outbox
                 WHERE topic <> 'catalog' OR payload NOT LIKE '[{%}]'",
    },
    Rule {
        invariant: "I17",
        rule: "the price an item is listed at is the lowest of its options",
        rows: "SELECT count(*) FROM item",
        breach: "SELECT id FROM item WHERE price_min <> coalesce((
                     SELECT min(o.price) FROM item_option o WHERE o.item_id = item.id AND NOT o.withdrawn), -1)",
    },
    Rule {
        invariant: "I17",
        rule: "an item is in stock when one of its options is",
        rows: "SELECT count(*) FROM item",
        breach: "SELECT id FROM item WHERE in_stock <> EXISTS (
                     SELECT 1 FROM item_option o WHERE o.item_id = item.id AND o.in_stock AND NOT o.withdrawn)",
    },
    Rule {
        invariant: "I17",
        rule: "nothing of a closed store is on sale, and every item has its store's seller",
        rows: "SELECT count(*) FROM item",
        breach: "SELECT item.id FROM item JOIN store s ON s.id = item.store_id
                 WHERE (item.on_sale AND s.closed_at_ms IS NOT NULL) OR item.seller_id <> s.seller_id",
    },
    Rule {
        invariant: "I17",
        rule: "every category can be reached from a root",
        rows: "SELECT count(*) FROM category",
        // A root is one whose parent is the nil id: no category has that id.
        breach: "WITH RECURSIVE reached (id) AS (
                     SELECT id FROM category WHERE parent_id = $1
                     UNION SELECT c.id FROM category c JOIN reached r ON c.parent_id = r.id
                 ) SELECT id FROM category WHERE id NOT IN (SELECT id FROM reached)",
    },
];

/// Looks at the whole database; each rule once. The database must be of this version.
pub async fn audit(db: &Db) -> Result<Vec<Check>> {
    let mut checks = Vec::with_capacity(RULES.len());
    for rule in &RULES {
        checks.push(check(db, rule).await?);
    }
    Ok(checks)
}

async fn check(db: &Db, rule: &Rule) -> Result<Check> {
    let connection = db.read();
    let rows = connection.query_one_raw(statement(connection, rule.rows, [])).await.map_err(fault)?;
    let looked_at = rows.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.unwrap_or(0);
    let nil = rule.breach.contains("$1").then(|| Uuid::nil().into());
    let sql = format!("{} LIMIT {BREACHES_MAX}", rule.breach);
    let found = connection.query_all_raw(statement(connection, sql, nil)).await.map_err(fault)?;
    let ids = found.iter().map(|row| row.try_get_by_index::<Uuid>(0)).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    let breaches = ids.iter().map(Uuid::to_string).collect();
    Ok(Check { invariant: rule.invariant.into(), rule: rule.rule.into(), looked_at, breaches })
}
