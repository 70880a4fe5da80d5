//! R1, R2, R5, R6: what one request costs the server, beside the no-op, round by round on one server.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::HeaderValue;
use indicatif::ProgressBar;

use crate::bench::figure::{Better, Figure, Figures, median};
use crate::bench::load::{Expect, Sample, all, closed};
use crate::bench::rig::{Bench, PLENTY, Rig};
use crate::progress::{bar, done};
use crate::stage::order_body;
use crate::wire::Ask;

const ORDERS: &str = "/v1/orders";
const NOOP: &str = "/v1/admin/rehearsal/noop";
/// Options that are bought evenly.
const EVEN: usize = 10_000;
const SETTINGS: &str = "[order]\nhold_minutes = 1440";

/// One kind of request.
struct Probe {
    name: &'static str,
    path: &'static str,
    /// Taken in turn.
    bodies: Vec<Bytes>,
    expect: Expect,
    /// The same request again and again, for each buyer; otherwise each request has a key of its own.
    repeats: Vec<Ask>,
}

/// Measures all of them; also how many breaches the audit found afterwards.
pub async fn measure(bench: &Bench) -> Result<(Figures, usize)> {
    let rig = Rig::build(bench, SETTINGS, None).await?;
    let probes = probes(&rig).await?;
    let progress = bar("R1 R2 R5 R6", (probes.len() * bench.rounds) as u64);
    let mut samples: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    for _ in 0..bench.rounds {
        for probe in &probes {
            let sample = fire(bench, &rig, probe).await.with_context(|| format!("measuring {}", probe.name))?;
            samples.entry(probe.name).or_default().push(sample);
            progress.inc(1);
        }
    }
    let breaches = rig.close().await?;
    done(&progress, format!("requests of {} kinds in {} rounds", probes.len(), bench.rounds));
    Ok((figures(bench, &samples), breaches))
}

async fn fire(bench: &Bench, rig: &Rig, probe: &Probe) -> Result<Sample> {
    let turn = Cell::new(0_usize);
    let next = || -> Result<Ask> {
        let n = turn.get();
        turn.set(n + 1);
        match probe.repeats.is_empty() {
            true => rig.order(probe.path, &probe.bodies[n % probe.bodies.len()]),
            false => Ok(probe.repeats[n % probe.repeats.len()].clone()),
        }
    };
    closed(&rig.target(), rig.pid(), bench.pace, probe.expect, next).await
}

/// The yardstick comes first and last in every round, so that a neighbour who comes or goes disturbs both sides.
async fn probes(rig: &Rig) -> Result<Vec<Probe>> {
    let (hot, drop) = rig.drop_of(PLENTY, None, 0).await?;
    let drop_body = order_body(hot, Some(drop), 1);
    let shelf = rig.options(1, PLENTY).await?;
    let even = rig.options(EVEN, PLENTY / EVEN as i64).await?;
    let one = |name, body: &Bytes, expect| Probe {
        name,
        path: ORDERS,
        bodies: vec![body.clone()],
        expect,
        repeats: Vec::new(),
    };
    let (limited, not_open, sold_out) = refusals(rig).await?;
    let noop = || Probe { path: NOOP, ..one("noop", &drop_body, Expect::Created) };
    Ok(vec![
        noop(),
        one("sold_out", &sold_out, Expect::Problem("sold_out")),
        one("over_limit", &limited, Expect::Problem("over_limit")),
        one("not_open", &not_open, Expect::Problem("sale_not_open")),
        one("accepted", &drop_body, Expect::Created),
        one("hot", &order_body(shelf[0], None, 1), Expect::Created),
        Probe {
            bodies: even.iter().map(|option| order_body(*option, None, 1)).collect(),
            ..one("even", &drop_body, Expect::Created)
        },
        Probe { repeats: accepted_before(rig, &drop_body).await?, ..one("replay", &drop_body, Expect::Replayed) },
        noop(),
    ])
}

/// Bodies of orders that will be refused: over the limit, before the opening, sold out.
async fn refusals(rig: &Rig) -> Result<(Bytes, Bytes, Bytes)> {
    const HOUR_MS: i64 = 3_600_000;
    let (option, drop) = rig.drop_of(PLENTY, Some(1), 0).await?;
    let limited = order_body(option, Some(drop), 1);
    let (option, drop) = rig.drop_of(PLENTY, Some(1), HOUR_MS).await?;
    let not_open = order_body(option, Some(drop), 1);
    let (option, drop) = rig.drop_of(1, None, 0).await?;
    let sold_out = order_body(option, Some(drop), 1);
    // Each buyer has the one unit that the limit allows, and somebody has the last unit of the other.
    let orders: Result<Vec<Ask>> = (0..rig.buyers.len()).map(|_| rig.order(ORDERS, &limited)).collect();
    let hidden = ProgressBar::hidden();
    all(&rig.target(), 16, Expect::Created, orders?, &hidden).await?;
    all(&rig.target(), 1, Expect::Created, vec![rig.order(ORDERS, &sold_out)?], &hidden).await?;
    Ok((limited, not_open, sold_out))
}

/// One accepted order of each buyer, to be sent again.
async fn accepted_before(rig: &Rig, body: &Bytes) -> Result<Vec<Ask>> {
    let key = |n: usize| HeaderValue::try_from(format!("bench-replay-{n:012}"));
    let ask = |(n, buyer): (usize, &crate::record::Buyer)| -> Result<Ask> {
        Ok(Ask { key: Some(key(n)?), ..Ask::post(ORDERS, body.clone())?.token(&buyer.token) })
    };
    let asks: Vec<Ask> = rig.buyers.iter().enumerate().map(ask).collect::<Result<_>>()?;
    all(&rig.target(), 16, Expect::Created, asks.clone(), &ProgressBar::hidden()).await?;
    Ok(asks)
}

fn figures(bench: &Bench, samples: &BTreeMap<&'static str, Vec<Sample>>) -> Figures {
    let per_request = format!(
        "server CPU time per request; {} rounds of {:.0} s, {} connections",
        bench.rounds,
        bench.pace.window.as_secs_f64(),
        bench.pace.connections
    );
    let ratio = |name: &str, over: &str, under: &str, floor: f64, goal: f64| {
        let (x, n) = (&samples[under], &samples[over]);
        // The yardstick stands several times in a round: its mean counts.
        let of_round = |n: &[Sample]| n.iter().map(|n| n.cpu_us).sum::<f64>() / n.len() as f64;
        let yardsticks = n.chunks(n.len() / bench.rounds).map(of_round);
        let rounds: Vec<f64> = yardsticks.zip(x).map(|(n, x)| n / x.cpu_us).collect();
        let middle = |samples: &[Sample], of: fn(&Sample) -> f64| median(&samples.iter().map(of).collect::<Vec<_>>());
        Figure {
            per_second: Some([middle(x, |s| s.per_second), middle(n, |s| s.per_second)]),
            cpu_us: Some([middle(x, |s| s.cpu_us), middle(n, |s| s.cpu_us)]),
            ..Figure::new(name, &rounds, Better::Higher).within(floor, goal).conditions(per_request.clone())
        }
    };
    let all = [
        ("R1", ratio("refused, sold out ÷ no-op", "noop", "sold_out", 0.70, 0.95)),
        ("R1_over_limit", ratio("refused, over the limit ÷ no-op", "noop", "over_limit", 0.70, 0.95)),
        ("R1_not_open", ratio("refused, not open yet ÷ no-op", "noop", "not_open", 0.70, 0.95)),
        ("R2", ratio("durably accepted (a drop with a limit) ÷ no-op", "noop", "accepted", 0.35, 0.55)),
        ("R5", ratio("one hot option ÷ 10,000 options bought evenly", "even", "hot", 0.80, 1.0)),
        ("R5_even", ratio("10,000 options bought evenly ÷ no-op", "noop", "even", 0.35, 0.55)),
        ("R6", ratio("replay of a key ÷ no-op", "noop", "replay", 0.60, 0.90)),
    ];
    all.into_iter().map(|(key, figure)| (key.to_owned(), figure)).collect()
}
