//! The outcome of a rush in numbers: what goes to the terminal, the JSON file and the page.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use kit::audit::Check;
use kit::id::OrderId;
use serde::Serialize;

use crate::args::Args;
use crate::record::{Outcome, Press, Purpose, Record, Verdict};
use crate::verify::Findings;

/// Latencies are kept to three digits.
const DIGITS: u8 = 3;
const LATENCY_US_MAX: u64 = 3_600_000_000;

#[derive(Debug, Serialize)]
pub struct Report {
    pub buyers: u32,
    pub units: u32,
    pub limit: u32,
    /// Units paid for, as the seller sees it.
    pub sold: i64,
    /// Buyers who left without a unit because there was none.
    pub refused: i64,
    /// Units whose hold ended unpaid.
    pub unpaid: i64,
    pub duplicated: i64,
    pub lost: i64,
    pub oversold: i64,
    /// Requests decided per second during the rush, given and refused.
    pub orders_per_second: f64,
    /// From when the request should have been sent to its answer.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// What does not hold, one text each; empty when all is well.
    pub breaches: Vec<String>,

    /// From when the request was in fact sent.
    pub sent_p50_ms: f64,
    pub sent_p99_ms: f64,
    pub sent_p999_ms: f64,
    pub max_ms: f64,
    /// Units given during the rush, before anything came back.
    pub given: i64,
    /// Units given to people who came back after a refusal.
    pub given_again: i64,
    /// Attempts to get more than the limit, all refused when there is no breach.
    pub greedy: i64,
    /// Attempts before the opening, all refused when there is no breach.
    pub early: i64,
    /// Answers that were lost and asked for again.
    pub asked_again: u64,
    /// Times the market asked for patience.
    pub busy: u64,
    pub kills: u32,
    /// How long the rush itself took, from the first press to the last answer.
    pub rush_seconds: f64,
    pub connections: u32,
    pub walk_away: f64,
    pub rate: Option<u32>,
    pub hold_seconds: f64,
    /// `sqlite`, `postgresql`, or `unknown` for a market that was running already.
    pub database: &'static str,
    /// Seen from outside.
    pub checks: Vec<Check>,
    /// Seen by the market's own audit; none when its data could not be reached.
    pub audit: Option<Vec<Check>>,
}

impl Report {
    pub fn new(
        args: &Args,
        hold: Duration,
        record: &Record,
        findings: Findings,
        audit: Option<Vec<Check>>,
        database: &'static str,
    ) -> Self {
        let intended = latencies(record, |press| press.answered.saturating_sub(press.intended));
        let sent = latencies(record, |press| press.answered.saturating_sub(press.sent));
        let rushed = record.rushed().count();
        let of = |purpose| record.presses.iter().filter(move |press| press.purpose == purpose);
        let all = findings.checks.iter().chain(audit.iter().flatten());
        let breaches = all.flat_map(|check| check.breaches.iter().map(|b| format!("{}: {b}", check.invariant)));
        Self {
            buyers: args.buyers,
            units: args.units,
            limit: args.limit,
            sold: findings.sold,
            refused: empty_handed(record),
            unpaid: unpaid(record),
            duplicated: findings.duplicated,
            lost: findings.lost,
            oversold: findings.oversold,
            orders_per_second: rushed as f64 / record.rush.as_secs_f64().max(1e-6),
            p50_ms: percentile(&intended, 50.0),
            p99_ms: percentile(&intended, 99.0),
            p999_ms: percentile(&intended, 99.9),
            breaches: breaches.collect(),
            sent_p50_ms: percentile(&sent, 50.0),
            sent_p99_ms: percentile(&sent, 99.0),
            sent_p999_ms: percentile(&sent, 99.9),
            max_ms: intended.max() as f64 / 1_000.0,
            given: of(Purpose::Rush).filter(|press| press.held().is_some()).count() as i64,
            given_again: of(Purpose::Again).filter(|press| press.held().is_some()).count() as i64,
            greedy: of(Purpose::Greed).count() as i64,
            early: of(Purpose::Early).count() as i64,
            asked_again: record.trouble.lost,
            busy: record.trouble.busy,
            kills: record.kills,
            rush_seconds: record.rush.as_secs_f64(),
            connections: args.connections,
            walk_away: args.walk_away,
            rate: args.rate,
            hold_seconds: hold.as_secs_f64(),
            database,
            checks: findings.checks,
            audit,
        }
    }

    pub fn holds(&self) -> bool {
        self.breaches.is_empty()
    }

    /// One sentence for people in a hurry.
    pub fn verdict(&self) -> String {
        match self.breaches.len() {
            0 => format!("Everything holds: {} of {} units sold to {} people.", self.sold, self.units, self.buyers),
            1 => "One thing does not hold.".to_owned(),
            many => format!("{many} things do not hold."),
        }
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.figures() {
            let _ = writeln!(text, "  {name:<34} {value:>14}");
        }
        for (place, checks) in [("outside", Some(&self.checks)), ("audit", self.audit.as_ref())] {
            for check in checks.into_iter().flatten() {
                let mark = if check.breaches.is_empty() { "ok  " } else { "FAIL" };
                let _ = writeln!(text, "  {mark} {place:<8}{:<8}{}", check.invariant, check.rule);
            }
        }
        for breach in &self.breaches {
            let _ = writeln!(text, "  ! {breach}");
        }
        let _ = write!(text, "{}", self.verdict());
        text
    }

    /// The figures people ask for, with their names.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let ms = |value: f64| format!("{value:.1} ms");
        vec![
            ("buyers", self.buyers.to_string()),
            ("units", self.units.to_string()),
            ("limit for one member", self.limit.to_string()),
            ("units sold", self.sold.to_string()),
            ("left without a unit", self.refused.to_string()),
            ("holds that ended unpaid", self.unpaid.to_string()),
            ("given again after that", self.given_again.to_string()),
            ("duplicated", self.duplicated.to_string()),
            ("lost", self.lost.to_string()),
            ("oversold", self.oversold.to_string()),
            ("tried to get more than the limit", self.greedy.to_string()),
            ("pressed before the opening", self.early.to_string()),
            ("answers lost and asked for again", self.asked_again.to_string()),
            ("server killed", self.kills.to_string()),
            ("orders decided per second", format!("{:.0}", self.orders_per_second)),
            ("duration of the rush", format!("{:.2} s", self.rush_seconds)),
            ("p50 from intended sending", ms(self.p50_ms)),
            ("p99 from intended sending", ms(self.p99_ms)),
            ("p99.9 from intended sending", ms(self.p999_ms)),
            ("p50 / p99 from sending", format!("{:.1} / {:.1} ms", self.sent_p50_ms, self.sent_p99_ms)),
        ]
    }
}

/// An empty histogram for latencies in microseconds, up to an hour.
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that the histogram takes.
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).unwrap_or_else(|_| unreachable!("constant bounds"))
}

/// Latencies of the rush, microseconds.
pub fn latencies(record: &Record, latency: impl Fn(&Press) -> Duration) -> Histogram<u64> {
    let mut histogram = histogram();
    for press in record.rushed() {
        histogram.saturating_record(u64::try_from(latency(press).as_micros()).unwrap_or(u64::MAX));
    }
    histogram
}

fn percentile(histogram: &Histogram<u64>, percent: f64) -> f64 {
    histogram.value_at_percentile(percent) as f64 / 1_000.0
}

/// Buyers who never got a unit, and whose last word was "sold out".
fn empty_handed(record: &Record) -> i64 {
    let got: HashSet<usize> = record.holds().map(|(press, _)| press.buyer).collect();
    let refused = record.presses.iter().filter(|press| press.verdict == Verdict::SoldOut);
    let refused: HashSet<usize> = refused.map(|press| press.buyer).collect();
    refused.difference(&got).count() as i64
}

/// Holds that were never paid.
fn unpaid(record: &Record) -> i64 {
    let paid = record.payments.iter().filter(|payment| payment.outcome == Outcome::Paid);
    let paid: HashSet<OrderId> = paid.map(|payment| payment.order).collect();
    record.holds().filter(|(_, placed)| !paid.contains(&placed.order_id)).count() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_three_digits_and_long_ones_are_not_cut() {
        let mut latencies = histogram();
        for us in [0, 1_234, 5_000_000, u64::MAX] {
            latencies.saturating_record(us);
        }
        assert_eq!(percentile(&latencies, 50.0), 1.234);
        assert!((percentile(&latencies, 75.0) - 5_000.0).abs() < 5.0);
        assert_eq!(latencies.len(), 4);
    }
}
