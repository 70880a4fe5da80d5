//! `jangteo audit`: every service checks its own database, and here it is put together, one line per invariant.
//!
//! Reads only, through connections that cannot write, so that it may run beside a busy market at any time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use db::Source;
use kit::audit::Check;

use crate::wire::open_to_look;

/// Runs every check there is. Errors: there is no market, or it cannot be read.
pub async fn run(source: &Source) -> Result<Vec<Check>> {
    let [member, catalog, order, payment] = open_to_look(source).await.context("there is no market to audit here")?;
    let mut checks = order::audit(&order).await.context("the order database")?;
    checks.extend(payment::audit(&payment).await.context("the payment database")?);
    checks.extend(catalog::audit(&catalog).await.context("the catalogue database")?);
    checks.extend(member::audit(&member).await.context("the member database")?);
    checks.push(settlement());
    for db in [member, catalog, order, payment] {
        db.close().await?;
    }
    Ok(checks)
}

/// Whether everything holds.
pub fn holds(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.breaches.is_empty())
}

/// One line per invariant in the order of their numbers, and under it what breaks it.
pub fn text(checks: &[Check]) -> String {
    let mut by_invariant: BTreeMap<(u32, &str), Vec<&Check>> = BTreeMap::new();
    for check in checks {
        by_invariant.entry((number(&check.invariant), &check.invariant)).or_default().push(check);
    }
    let mut text = String::new();
    for ((_, invariant), checks) in by_invariant {
        let broken: usize = checks.iter().map(|check| check.breaches.len()).sum();
        let verdict = if broken == 0 { "ok    " } else { "BROKEN" };
        let rules: Vec<String> = checks.iter().map(|check| format!("{} ({})", check.rule, check.looked_at)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{invariant:<4} {verdict} {}", rules.join("; "));
        for check in checks {
            for breach in &check.breaches {
                let _ = writeln!(text, "            {}: {breach}", check.rule);
            }
        }
    }
    text
}

/// Settlement is not part of the market yet: there are no rows that could be settled twice.
fn settlement() -> Check {
    Check {
        invariant: "I7".into(),
        rule: "settlement twice is settlement once: nothing is settled yet, there are no rows to look at".into(),
        looked_at: 0,
        breaches: Vec::new(),
    }
}

/// `I10` comes after `I9`.
fn number(invariant: &str) -> u32 {
    invariant.trim_start_matches('I').parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(invariant: &str, breaches: &[&str]) -> Check {
        let breaches = breaches.iter().map(|text| (*text).to_owned()).collect();
        Check { invariant: invariant.into(), rule: format!("rule of {invariant}"), looked_at: 3, breaches }
    }

    #[test]
    fn one_line_per_invariant_in_order_with_its_breaches() {
        let checks = [check("I10", &[]), check("I2", &["option 7"]), check("I2", &[])];
        assert!(!holds(&checks));
        let text = text(&checks);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "I2   BROKEN rule of I2 (3); rule of I2 (3)",
                "            rule of I2: option 7",
                "I10  ok     rule of I10 (3)",
            ]
        );
    }
}
