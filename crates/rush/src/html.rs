//! The outcome of a rush as one page: no script, nothing loaded from elsewhere, light and dark, readable on a phone.

use std::time::Duration;

use hdrhistogram::Histogram;
use kit::audit::Check;

use crate::picture::{Axis, Picture, escape};
use crate::record::{Outcome, Press, Record};
use crate::report::{Report, latencies};

/// Bars in the picture of throughput.
const BUCKETS: usize = 60;
/// Points in a curve of latencies.
const CURVE_POINTS: usize = 160;

const STYLE: &str = "
:root{--ground:#fff;--ink:#1c1e21;--soft:#667;--rule:#e3e5e9;--card:#f7f8fa;--one:#0b6bcb;--two:#c2410c;--three:#15803d;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ground:#15171a;--ink:#e8eaed;--soft:#9aa0aa;--rule:#2b2f36;--card:#1d2025;--one:#6cb2f7;--two:#fb923c;--three:#4ade80;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:800px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.6rem;margin:0 0 4px}h2{font-size:1.1rem;margin:36px 0 8px}
p{margin:4px 0}.soft{color:var(--soft);font-size:.9rem}
.verdict{border-left:6px solid var(--three);background:var(--card);padding:12px 16px;margin:20px 0;font-size:1.1rem}
.verdict.bad{border-color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(170px,45%),1fr));gap:8px}
.card{background:var(--card);padding:10px 12px}.card b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
@media(max-width:560px){svg text{font-size:19px}}
.grid{stroke:var(--rule);stroke-width:1}.line{fill:none;stroke-width:2}
.line.one{stroke:var(--one)}.line.two{stroke:var(--two)}.line.three{stroke:var(--three)}
.bar.one,.key.one{fill:var(--one);background:var(--one)}.bar.two,.key.two{fill:var(--two);background:var(--two)}
.bar.three,.key.three{fill:var(--three);background:var(--three)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:.9rem;color:var(--soft)}
.key{display:inline-block;width:12px;height:12px;margin-right:6px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.95rem}
td,th{text-align:left;padding:6px 8px;border-bottom:1px solid var(--rule);vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.ok{color:var(--three)}.no{color:var(--bad);font-weight:600}
";

/// The page.
pub fn page(report: &Report, record: &Record) -> String {
    let bad = if report.holds() { "" } else { " bad" };
    let breaches: String = report.breaches.iter().map(|text| format!("<p class=\"no\">{}</p>", escape(text))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Jangteo rush: {buyers} buyers, {units} units</title><style>{STYLE}</style></head><body><main>\
         <h1>{buyers} buyers, {units} units</h1><p class=\"soft\">{conditions}</p>\
         <div class=\"verdict{bad}\"><p>{verdict}</p>{breaches}</div>\
         <div class=\"cards\">{cards}</div>\
         <h2>How long people waited</h2>{latency}\
         <p class=\"soft\">Counted from when each request should have been sent, so that waiting for a connection \
         counts; beside it, from when it was sent.</p>\
         <h2>Answers over time</h2>{throughput}\
         <h2>The sale from opening to the last payment</h2>{sale}\
         <h2>What was checked</h2>{checks}\
         <h2>All figures</h2>{figures}</main></body></html>\n",
        buyers = report.buyers,
        units = report.units,
        conditions = escape(&conditions(report)),
        verdict = escape(&report.verdict()),
        cards = cards(report),
        latency = latency(record),
        throughput = throughput(record),
        sale = sale(report, record),
        checks = checks(report),
        figures = figures(report),
    )
}

fn conditions(report: &Report) -> String {
    let pace = match report.rate {
        Some(rate) => format!("{rate} presses a second"),
        None => "everybody at the opening".to_owned(),
    };
    format!(
        "Real HTTP over {} keep-alive connections, {pace}; limit {} for one member; {:.0} % of buyers walk away unpaid, \
         their holds end after {} s; server killed {} times; database: {}.",
        report.connections,
        report.limit,
        report.walk_away * 100.0,
        report.hold_seconds,
        report.kills,
        report.database,
    )
}

fn cards(report: &Report) -> String {
    let cards = [
        ("units sold", report.sold.to_string()),
        ("oversold", report.oversold.to_string()),
        ("lost", report.lost.to_string()),
        ("duplicated", report.duplicated.to_string()),
        ("orders per second", format!("{:.0}", report.orders_per_second)),
        ("p50", format!("{:.0} ms", report.p50_ms)),
        ("p99", format!("{:.0} ms", report.p99_ms)),
        ("p99.9", format!("{:.0} ms", report.p999_ms)),
    ];
    cards.iter().map(|(name, value)| format!("<div class=\"card\"><b>{value}</b>{name}</div>")).collect()
}

/// Percentiles, stretched towards the slowest: each step to the right is ten times rarer.
fn latency(record: &Record) -> String {
    let intended = latencies(record, |press| press.answered.saturating_sub(press.intended));
    let sent = latencies(record, |press| press.answered.saturating_sub(press.sent));
    let nines = (intended.len().max(10) as f64).log10();
    let named = [(0.0, "0"), (50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99")];
    let ticks = named.iter().map(|(percent, text)| (rarity(*percent), (*text).to_owned()));
    let x = Axis {
        name: "percentile of buyers".into(),
        from: 0.0,
        to: nines,
        ticks: ticks.filter(|(at, _)| *at <= nines).collect(),
    };
    let least = intended.min().min(sent.min()).max(10) as f64 / 1_000.0;
    let most = intended.max().max(sent.max()).max(1_000) as f64 / 1_000.0;
    let curve = |histogram: &Histogram<u64>| -> Vec<(f64, f64)> {
        let at = |n: usize| n as f64 / CURVE_POINTS as f64 * nines;
        let value = |rarity: f64| histogram.value_at_percentile(100.0 * (1.0 - 10_f64.powf(-rarity)));
        (0..=CURVE_POINTS).map(|n| (at(n), (value(at(n)).max(1) as f64 / 1_000.0).log10())).collect()
    };
    Picture::new(x, Axis::decades("ms", least, most))
        .line("one", "from intended sending", curve(&intended))
        .line("two", "from sending", curve(&sent))
        .svg("Latency by percentile")
}

fn rarity(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).log10()
}

/// Answers per second in slices of the rush, given below refused.
fn throughput(record: &Record) -> String {
    let begin = record.rushed().map(|press| press.intended).min().unwrap_or_default();
    let slice = (record.rush.as_secs_f64() / BUCKETS as f64).max(1e-6);
    let mut given = [0.0; BUCKETS];
    let mut refused = [0.0; BUCKETS];
    for press in record.rushed() {
        let index = (press.answered.saturating_sub(begin).as_secs_f64() / slice) as usize;
        let side = if press.held().is_some() { &mut given } else { &mut refused };
        side[index.min(BUCKETS - 1)] += 1.0 / slice;
    }
    let most = given.iter().zip(&refused).map(|(a, b)| a + b).fold(0.0, f64::max);
    let span = |n: usize| (n as f64 * slice * 1_000.0, (n + 1) as f64 * slice * 1_000.0);
    let lower = (0..BUCKETS).map(|n| (span(n).0, span(n).1, 0.0, given[n]));
    let upper = (0..BUCKETS).map(|n| (span(n).0, span(n).1, given[n], given[n] + refused[n]));
    let x = Axis::linear("ms since the opening", record.rush.as_secs_f64() * 1_000.0);
    Picture::new(x, Axis::linear("answers per second", most))
        .bars("three", "got a unit", lower)
        .bars("two", "refused", upper)
        .svg("Answers per second over time")
}

/// Units given and units paid, from the opening to the end.
fn sale(report: &Report, record: &Record) -> String {
    let begin = record.rushed().map(|press| press.intended).min().unwrap_or_default();
    let since = |at: Duration| at.saturating_sub(begin).as_secs_f64();
    let given = steps(record.holds().map(|(press, _): (&Press, _)| since(press.answered)).collect());
    let paid = record.payments.iter().filter(|payment| payment.outcome == Outcome::Paid);
    let paid = steps(paid.map(|payment| since(payment.answered)).collect());
    let end = given.last().into_iter().chain(paid.last()).map(|(at, _)| *at).fold(0.1, f64::max);
    let most = given.last().map_or(0.0, |(_, count)| *count).max(f64::from(report.units));
    let whole = |mut points: Vec<(f64, f64)>| {
        let last = points.last().map_or(0.0, |(_, count)| *count);
        points.push((end, last));
        points
    };
    Picture::new(Axis::linear("s since the opening", end), Axis::linear("units", most))
        .line("one", "holds given, in all", whole(given))
        .line("three", "units paid", whole(paid))
        .svg("Units given and paid over time")
}

/// How many had happened at each instant at which something happened.
fn steps(mut at: Vec<f64>) -> Vec<(f64, f64)> {
    at.sort_unstable_by(f64::total_cmp);
    let mut points = vec![(0.0, 0.0)];
    for (n, at) in at.into_iter().enumerate() {
        points.extend([(at, n as f64), (at, (n + 1) as f64)]);
    }
    points
}

fn checks(report: &Report) -> String {
    let row = |place: &str, check: &Check| {
        let (class, word) = if check.breaches.is_empty() { ("ok", "holds") } else { ("no", "broken") };
        format!(
            "<tr><td>{place}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"{class}\">{word}</td></tr>",
            escape(&check.invariant),
            escape(&check.rule),
            check.looked_at
        )
    };
    let outside = report.checks.iter().map(|check| row("outside", check));
    let audit = report.audit.iter().flatten().map(|check| row("audit", check));
    format!(
        "<div class=\"scroll\"><table><tr><th>by</th><th></th><th>rule</th><th>looked at</th><th></th></tr>{}</table></div>",
        outside.chain(audit).collect::<String>()
    )
}

fn figures(report: &Report) -> String {
    let row =
        |(name, value): (&str, String)| format!("<tr><td>{name}</td><td class=\"n\">{}</td></tr>", escape(&value));
    format!("<table>{}</table>", report.figures().into_iter().map(row).collect::<String>())
}
