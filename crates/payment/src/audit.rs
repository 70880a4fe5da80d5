//! The invariants of money, checked on the tables as they are. Each check is one statement, so that it sees one
//! instant and may run beside a busy market.

use db::sea_orm::{ConnectionTrait as _, QueryResult};
use db::{Db, fault, statement};
use kit::Result;
use kit::audit::{BREACHES_MAX, Check};
use uuid::Uuid;

struct Rule {
    invariant: &'static str,
    rule: &'static str,
    /// What a breach is about.
    thing: &'static str,
    count: &'static str,
    /// Answers one id and one number (what was found, minor units or rows) per breach.
    breaches: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        invariant: "I5",
        rule: "every transfer has two or more entries and sums to zero",
        thing: "transfer",
        count: "SELECT count(*) FROM transfer",
        breaches: "SELECT transfer.id, CAST(coalesce(sum(entry.amount_minor), 0) AS bigint)
                   FROM transfer LEFT JOIN entry ON entry.transfer_id = transfer.id
                   GROUP BY transfer.id
                   HAVING coalesce(sum(entry.amount_minor), 0) <> 0 OR count(entry.seq) < 2",
    },
    Rule {
        invariant: "I5",
        rule: "every balance is the sum of its entries, which are numbered without gaps",
        thing: "account",
        count: "SELECT count(*) FROM account",
        breaches: "SELECT account.id, account.balance_minor
                   FROM account LEFT JOIN
                        (SELECT account_id, sum(amount_minor) AS total, count(*) AS rows, max(seq) AS last
                         FROM entry GROUP BY account_id) AS counted ON counted.account_id = account.id
                   WHERE account.balance_minor <> coalesce(counted.total, 0)
                      OR account.entries <> coalesce(counted.rows, 0)
                      OR account.entries <> coalesce(counted.last, 0)",
    },
    Rule {
        invariant: "I5",
        rule: "no wallet is below zero, and none ever was",
        thing: "wallet",
        count: "SELECT count(*) FROM account WHERE kind = 'wallet'",
        breaches: "SELECT account.id, entry.balance_after_minor
                   FROM account JOIN entry ON entry.account_id = account.id
                   WHERE account.kind = 'wallet' AND (entry.balance_after_minor < 0 OR account.balance_minor < 0)",
    },
    Rule {
        invariant: "I5",
        rule: "clearing holds what open attempts captured, and nothing when none is open",
        thing: "account",
        count: "SELECT count(*) FROM account WHERE kind = 'clearing'",
        breaches: "SELECT account.id, account.balance_minor FROM account
                   WHERE account.kind = 'clearing' AND account.balance_minor <>
                         coalesce((SELECT sum(amount_minor) FROM attempt WHERE state = 'captured'), 0)",
    },
    Rule {
        invariant: "I5",
        rule: "every attempt moved the money its state says: once out, and once on or back",
        thing: "attempt",
        count: "SELECT count(*) FROM attempt",
        breaches: "SELECT attempt.id, count(transfer.id)
                   FROM attempt LEFT JOIN transfer ON transfer.cause_id = attempt.id
                   GROUP BY attempt.id, attempt.state, attempt.amount_minor
                   HAVING count(transfer.id) <> CASE
                       WHEN coalesce(attempt.amount_minor, 0) = 0 THEN 0
                       WHEN attempt.state IN ('done', 'undone') THEN 2
                       WHEN attempt.state = 'captured' THEN 1
                       ELSE 0 END",
    },
    Rule {
        invariant: "I8",
        rule: "an attempt has an end exactly when its state is one",
        thing: "attempt",
        count: "SELECT count(*) FROM attempt",
        breaches: "SELECT id, created_at_ms FROM attempt
                   WHERE (ended_at_ms IS NOT NULL) <> (state IN ('done', 'refused', 'undone'))",
    },
    Rule {
        invariant: "I9",
        rule: "no order is paid by two attempts",
        thing: "order",
        count: "SELECT count(*) FROM attempt WHERE state = 'done'",
        breaches: "SELECT order_id, count(*) FROM attempt WHERE state = 'done'
                   GROUP BY order_id HAVING count(*) > 1",
    },
];

/// Reads only. Errors: `unavailable` when the database cannot be read.
pub async fn audit(db: &Db) -> Result<Vec<Check>> {
    let mut checks = Vec::with_capacity(RULES.len());
    for rule in RULES {
        checks.push(check(db, rule).await?);
    }
    Ok(checks)
}

async fn check(db: &Db, rule: &Rule) -> Result<Check> {
    let connection = db.read();
    let counted = connection.query_one_raw(statement(connection, rule.count, [])).await.map_err(fault)?;
    let looked_at = counted.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(fault)?.unwrap_or(0);
    let sql = format!("{} LIMIT {BREACHES_MAX}", rule.breaches);
    let rows = connection.query_all_raw(statement(connection, sql, [])).await.map_err(fault)?;
    let breaches = rows.iter().map(|row| said(rule, row)).collect::<Result<_>>()?;
    Ok(Check { invariant: rule.invariant.into(), rule: rule.rule.into(), looked_at, breaches })
}

fn said(rule: &Rule, row: &QueryResult) -> Result<String> {
    let id: Uuid = row.try_get_by_index(0).map_err(fault)?;
    let found: i64 = row.try_get_by_index(1).map_err(fault)?;
    Ok(format!("{} {id}: {found}", rule.thing))
}
