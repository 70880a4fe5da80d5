//! R12: a million orders, `kill -9`, and how long until the market is ready again.

use std::time::Duration;

use anyhow::Result;

use crate::bench::figure::{Better, Figure, Figures};
use crate::bench::load::{Expect, Pace, closed};
use crate::bench::rig::{Bench, PLENTY, Rig};
use crate::progress::{bar, done};
use crate::stage::order_body;

const SETTINGS: &str = "[order]\nhold_minutes = 10080";
/// Load is applied in slices of this length until there are enough orders.
const SLICE: Duration = Duration::from_secs(2);

/// Fills, kills, measures; also how many breaches the audit found afterwards.
pub async fn measure(bench: &Bench, orders: u64) -> Result<(Figures, usize)> {
    let mut rig = Rig::build(bench, SETTINGS, None).await?;
    let filled = fill(bench, &rig, orders).await?;
    let killing = bar("R12 kill and start", bench.rounds as u64);
    let mut ready = Vec::new();
    for _ in 0..bench.rounds {
        // Killed while orders are being taken, so that there is something to recover.
        under_load(&mut rig, bench).await?;
        rig.server.restart().await?;
        ready.push(rig.server.ready_after.as_secs_f64());
        killing.inc(1);
    }
    done(&killing, format!("killed and started {} times", bench.rounds));
    let breaches = rig.close().await?;
    let figure = Figure::new("kill -9 to ready", &ready, Better::Lower).within(10.0, 0.5).unit("s").conditions(
        format!("{filled} orders placed through the API and held, killed under load; {} rounds", bench.rounds),
    );
    Ok((Figures::from([("R12".into(), figure)]), breaches))
}

/// Places orders as buyers do.
async fn fill(bench: &Bench, rig: &Rig, orders: u64) -> Result<u64> {
    let progress = bar("R12 filling", orders);
    let (option, drop) = rig.drop_of(PLENTY, None, 0).await?;
    let body = order_body(option, Some(drop), 1);
    let mut placed = 0;
    while placed < orders {
        let ask = || {
            placed += 1;
            progress.inc(1);
            rig.order("/v1/orders", &body)
        };
        let pace = Pace { warm: Duration::ZERO, window: SLICE, ..bench.pace };
        closed(&rig.target(), rig.pid(), pace, Expect::Created, ask).await?;
    }
    done(&progress, format!("{placed} orders placed"));
    Ok(placed)
}

/// Kills the server in the middle of a slice of load.
async fn under_load(rig: &mut Rig, bench: &Bench) -> Result<()> {
    let (option, drop) = rig.drop_of(PLENTY, None, 0).await?;
    let body = order_body(option, Some(drop), 1);
    let (target, pid) = (rig.target(), rig.pid());
    let pace = Pace { warm: Duration::ZERO, window: SLICE, ..bench.pace };
    let load = closed(&target, pid, pace, Expect::Created, || rig.order("/v1/orders", &body));
    // The load cannot end well: it is dropped with the connections it has open.
    let _ = tokio::time::timeout(SLICE / 2, load).await;
    rig.server.kill()
}
