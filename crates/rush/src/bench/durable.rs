//! R3, R4, R11: what syncing and batching do to the throughput of durable orders, and how long one takes at 70 % of it.
//!
//! Three servers of the same build, measured in turn: as shipped, without syncing, one commit per order.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::bench::figure::{Better, Figure, Figures, median};
use crate::bench::load::{Expect, Pace, closed, open};
use crate::bench::meter::fdatasync;
use crate::bench::rig::{Bench, PLENTY, Rig};
use crate::progress::{bar, done};
use crate::stage::order_body;

const SHIPPED: &str = "[order]\nhold_minutes = 1440";
const UNSYNCED: &str = "[order]\nhold_minutes = 1440\n\n[database]\nsync = false";
const SINGLE: &str = "[order]\nhold_minutes = 1440\nbatch_max = 1";
/// In flight at least, so that a batch can gather.
const IN_FLIGHT_MIN: usize = 256;
/// The share of the capacity at which latency is quoted.
const LOAD_SHARE: f64 = 0.7;
/// Connections of the open loop: enough that a late answer keeps nobody waiting.
const OPEN_CONNECTIONS: usize = 1_024;

/// A server and what is bought of it.
struct Place {
    rig: Rig,
    body: Bytes,
}

impl Place {
    async fn build(bench: &Bench, settings: &str) -> Result<Self> {
        let rig = Rig::build(bench, settings, None).await?;
        let (option, drop) = rig.drop_of(PLENTY, None, 0).await?;
        Ok(Self { rig, body: order_body(option, Some(drop), 1) })
    }

    async fn per_second(&self, pace: Pace) -> Result<f64> {
        let ask = || self.rig.order("/v1/orders", &self.body);
        Ok(closed(&self.rig.target(), self.rig.pid(), pace, Expect::Created, ask).await?.per_second)
    }
}

/// Measures all of them; also how many breaches the audits found afterwards.
pub async fn measure(bench: &Bench) -> Result<(Figures, usize)> {
    let shipped = Place::build(bench, SHIPPED).await?;
    let unsynced = Place::build(bench, UNSYNCED).await?;
    let single = Place::build(bench, SINGLE).await?;
    let pace = Pace { connections: bench.pace.connections.max(IN_FLIGHT_MIN), ..bench.pace };
    let progress = bar("R3 R4 R11", 4 * bench.rounds as u64);
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut latency = Vec::new();
    for _ in 0..bench.rounds {
        for (place, rates) in [&shipped, &unsynced, &single].into_iter().zip(&mut rates) {
            rates.push(place.per_second(pace).await?);
            progress.inc(1);
        }
        let capacity = *rates[0].last().context("just measured")?;
        latency.push(at_share(bench, &shipped, pace, capacity).await?);
        progress.inc(1);
    }
    let mut breaches = 0;
    for place in [shipped, unsynced, single] {
        breaches += place.rig.close().await?;
    }
    done(&progress, format!("durable orders in {} rounds", bench.rounds));
    let mut figures = throughput(bench, pace, &rates);
    figures.insert("R11".into(), quiet(bench, &latency));
    Ok((figures, breaches))
}

/// One round at 70 % of the capacity.
struct Latency {
    rate: f64,
    p99_ms: f64,
    p50_ms: f64,
    /// How long the disk took to sync in the same minute, sorted.
    syncs: Vec<Duration>,
}

async fn at_share(bench: &Bench, place: &Place, pace: Pace, capacity: f64) -> Result<Latency> {
    let syncs = fdatasync(&bench.folder)?;
    let rate = capacity * LOAD_SHARE;
    let pace = Pace { connections: OPEN_CONNECTIONS, window: pace.window * 2, ..pace };
    let ask = || place.rig.order("/v1/orders", &place.body);
    let latencies = open(&place.rig.target(), pace, rate, Expect::Created, ask).await?;
    let ms = |percent: f64| latencies.value_at_percentile(percent) as f64 / 1_000.0;
    Ok(Latency { rate, p99_ms: ms(99.0), p50_ms: ms(50.0), syncs })
}

fn throughput(bench: &Bench, pace: Pace, rates: &[Vec<f64>; 3]) -> Figures {
    let [shipped, unsynced, single] = rates;
    let conditions = format!(
        "throughput, server and client on cores of their own; {} rounds of {:.0} s, {} in flight",
        bench.rounds,
        pace.window.as_secs_f64(),
        pace.connections
    );
    let ratio = |name: &str, under: &[f64]| {
        let rounds: Vec<f64> = shipped.iter().zip(under).map(|(one, other)| one / other).collect();
        Figure {
            per_second: Some([median(shipped), median(under)]),
            ..Figure::new(name, &rounds, Better::Higher).conditions(conditions.clone())
        }
    };
    Figures::from([
        ("R3".into(), ratio("durable ÷ without syncing", unsynced).within(0.60, 0.90)),
        ("R4".into(), ratio("group commit ÷ one commit per order", single).within(8.0, 30.0)),
    ])
}

fn quiet(bench: &Bench, rounds: &[Latency]) -> Figure {
    let of = |value: fn(&Latency) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
    let sync_ms = of(|round| at_percent(&round.syncs, 50));
    let sync_p99_ms = of(|round| at_percent(&round.syncs, 99));
    let rate = of(|round| round.rate);
    let p99: Vec<f64> = rounds.iter().map(|round| round.p99_ms).collect();
    let conditions = format!(
        "open loop at 70 % of capacity ({rate:.0}/s), from intended sending; p50 {:.1} ms; fdatasync in the same run \
         p50 {sync_ms:.1} ms, p99 {sync_p99_ms:.1} ms; floor 3 × its p50 + 20 ms, goal 2 × its p50 + 2 ms; {} rounds",
        of(|round| round.p50_ms),
        bench.rounds
    );
    Figure::new("p99 of an accepted purchase", &p99, Better::Lower)
        .within(3.0 * sync_ms + 20.0, 2.0 * sync_ms + 2.0)
        .unit("ms")
        .conditions(conditions)
}

/// Milliseconds; `sorted` shortest first.
fn at_percent(sorted: &[Duration], percent: usize) -> f64 {
    let index = sorted.len() * percent / 100;
    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
