//! What must hold in the order database, checked from its rows alone. Safe while the market runs: it only reads.

use db::sea_orm::{ConnectionTrait, QueryResult, TransactionTrait as _};
use db::{Db, fault, statement};
use kit::Result;
use kit::audit::{BREACHES_MAX, Check};
use uuid::Uuid;

/// A rule and the query that finds what breaks it: each row found is one breach, told by an id or a text in one column.
struct Rule {
    invariant: &'static str,
    rule: &'static str,
    /// Counts what is looked at.
    count: &'static str,
    breaches: &'static str,
}

const RULES: [Rule; 13] = [
    Rule {
        invariant: "I1",
        rule: "supplied = available + held + sold + written off, each at least 0",
        count: "SELECT count(*) FROM stock",
        breaches: "SELECT option_id FROM stock WHERE supplied <> available + held + sold + written_off
            OR available < 0 OR held < 0 OR sold < 0 OR written_off < 0",
    },
    Rule {
        invariant: "I1",
        rule: "the stock ledger explains every unit on hand, sold and written off",
        count: "SELECT count(*) FROM stock_entry",
        breaches: "SELECT s.option_id FROM stock s LEFT JOIN (
                SELECT option_id, sale_id, sum(quantity) AS on_hand,
                    sum(CASE WHEN cause IN ('order', 'return') THEN -quantity ELSE 0 END) AS sold,
                    sum(CASE WHEN cause = 'correction' AND quantity < 0 THEN -quantity ELSE 0 END) AS written_off
                FROM stock_entry GROUP BY option_id, sale_id
            ) e ON e.option_id = s.option_id AND e.sale_id = s.sale_id
            WHERE s.available + s.held <> coalesce(e.on_hand, 0) OR s.sold <> coalesce(e.sold, 0)
            OR s.written_off <> coalesce(e.written_off, 0)",
    },
    Rule {
        invariant: "I2",
        rule: "units held and sold are exactly those of held and paid lines: no oversell",
        count: "SELECT count(*) FROM line",
        breaches: "SELECT s.option_id FROM stock s LEFT JOIN (
                SELECT option_id, sale_id, sum(CASE WHEN state = 'held' THEN quantity ELSE 0 END) AS held,
                    sum(CASE WHEN state = 'paid' THEN quantity ELSE 0 END) AS sold
                FROM line GROUP BY option_id, sale_id
            ) l ON l.option_id = s.option_id AND l.sale_id = s.sale_id
            WHERE s.held <> coalesce(l.held, 0) OR s.sold <> coalesce(l.sold, 0)",
    },
    Rule {
        invariant: "I3",
        rule: "every acknowledged order is whole: its lines are there and add up to its total",
        count: "SELECT count(*) FROM orders",
        breaches: "SELECT o.id FROM orders o LEFT JOIN (
                SELECT order_id, sum(quantity * unit_price_minor) AS total FROM line GROUP BY order_id
            ) l ON l.order_id = o.id WHERE l.total IS NULL OR l.total <> o.total_minor",
    },
    Rule {
        invariant: "I3",
        rule: "every record of a placed order has its order",
        count: "SELECT count(*) FROM idempotency WHERE operation = 1",
        breaches: "SELECT i.key FROM idempotency i LEFT JOIN orders o ON o.id = i.subject_id
            AND o.member_id = i.member_id WHERE i.operation = 1 AND o.id IS NULL",
    },
    Rule {
        invariant: "I4",
        rule: "no line without an order, no order without a stock row",
        count: "SELECT count(*) FROM line",
        breaches: "SELECT l.order_id FROM line l LEFT JOIN orders o ON o.id = l.order_id
            LEFT JOIN stock s ON s.option_id = l.option_id AND s.sale_id = l.sale_id
            WHERE o.id IS NULL OR s.option_id IS NULL",
    },
    Rule {
        invariant: "I8",
        rule: "lines moved only along the graph, and each move was kept",
        count: "SELECT count(*) FROM line_change",
        breaches: "SELECT l.order_id FROM line l LEFT JOIN line_change c
            ON c.order_id = l.order_id AND c.line_no = l.line_no
            WHERE (l.state = 'held' AND c.order_id IS NOT NULL)
            OR (l.state <> 'held' AND (c.order_id IS NULL OR c.from_state <> 'held' OR c.to_state <> l.state))
            OR l.state NOT IN ('held', 'paid', 'cancelled', 'expired')",
    },
    Rule {
        invariant: "I9",
        rule: "one result per idempotency key: no order stands behind two keys",
        count: "SELECT count(*) FROM idempotency",
        breaches: "SELECT subject_id FROM idempotency WHERE operation = 1
            GROUP BY subject_id HAVING count(*) > 1",
    },
    Rule {
        invariant: "I10",
        rule: "used allowances are exactly the members' held and paid units, and within the cap",
        count: "SELECT count(*) FROM allowance",
        breaches: "SELECT a.member_id FROM allowance a LEFT JOIN (
                SELECT coalesce(d.id, l.option_id) AS scope_id, o.member_id, l.allowance_day AS day,
                    sum(l.quantity) AS used
                FROM line l JOIN orders o ON o.id = l.order_id LEFT JOIN sale d ON d.id = l.sale_id
                WHERE l.allowance_day IS NOT NULL AND l.state NOT IN ('cancelled', 'expired')
                GROUP BY coalesce(d.id, l.option_id), o.member_id, l.allowance_day
            ) u ON u.scope_id = a.scope_id AND u.member_id = a.member_id AND u.day = a.day
            WHERE a.used <> coalesce(u.used, 0) OR a.used > a.cap",
    },
    Rule {
        invariant: "I10",
        rule: "no member holds more of a sale than its limit",
        count: "SELECT count(*) FROM sale WHERE limit_per_member IS NOT NULL",
        breaches: "SELECT d.id FROM sale d JOIN line l ON l.sale_id = d.id
            JOIN orders o ON o.id = l.order_id WHERE l.state NOT IN ('cancelled', 'expired')
            GROUP BY d.id, o.member_id, d.limit_per_member HAVING sum(l.quantity) > d.limit_per_member",
    },
    Rule {
        invariant: "I12",
        rule: "a hold has ended exactly when its lines are no longer held",
        count: "SELECT count(*) FROM orders",
        breaches: "SELECT o.id FROM orders o JOIN line l ON l.order_id = o.id
            WHERE (o.hold_ended_at_ms IS NULL) <> (l.state = 'held')
            OR (o.paid_at_ms IS NOT NULL) <> (l.state = 'paid')",
    },
    Rule {
        invariant: "I12",
        rule: "all lines of a held order ended together",
        count: "SELECT count(*) FROM orders",
        breaches: "SELECT order_id FROM line GROUP BY order_id
            HAVING count(DISTINCT CASE WHEN state = 'held' THEN 'held' ELSE 'ended' END) > 1",
    },
    Rule {
        invariant: "I13",
        rule: "no message was taken twice by a consumer",
        count: "SELECT count(*) FROM inbox",
        breaches: "SELECT consumer FROM inbox GROUP BY consumer, message_id HAVING count(*) > 1",
    },
];

/// Checks everything, on one consistent view of the database.
pub async fn audit(db: &Db) -> Result<Vec<Check>> {
    let options = db::snapshot_read();
    let view = db.read().begin_with_options(options).await.map_err(fault)?;
    let mut checks = Vec::with_capacity(RULES.len());
    for rule in &RULES {
        checks.push(check(&view, rule).await?);
    }
    view.rollback().await.map_err(fault)?;
    Ok(checks)
}

async fn check(connection: &impl ConnectionTrait, rule: &Rule) -> Result<Check> {
    let counted = connection.query_one_raw(statement(connection, rule.count, [])).await.map_err(fault)?;
    let looked_at = counted.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?.unwrap_or(0);
    let sql = format!("{} LIMIT {BREACHES_MAX}", rule.breaches);
    let rows = connection.query_all_raw(statement(connection, sql, [])).await.map_err(fault)?;
    let breaches = rows.iter().map(name).collect::<Result<Vec<String>>>()?;
    Ok(Check { invariant: rule.invariant.into(), rule: rule.rule.into(), looked_at, breaches })
}

fn name(row: &QueryResult) -> Result<String> {
    let id = row.try_get_by_index::<Uuid>(0).map(|id| id.to_string());
    id.or_else(|_| row.try_get_by_index::<String>(0)).map_err(fault)
}
