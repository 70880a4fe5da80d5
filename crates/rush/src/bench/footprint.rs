//! Memory at rest and with ten thousand connections, and how long a start takes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;

use crate::bench::figure::{Better, Figure, Figures};
use crate::bench::meter::memory_mib;
use crate::bench::rig::{Bench, Rig};
use crate::progress::{bar, done};
use crate::wire::{Ask, Connection};

const CONNECTIONS: usize = 10_000;
/// Opened at once, so that the server's backlog does not overflow.
const OPENED_AT_ONCE: usize = 100;
/// After this nothing of the start is left to do.
const REST: Duration = Duration::from_secs(2);
const IDLE_MIB_MAX: f64 = 60.0;
const CONNECTED_MIB_MAX: f64 = 250.0;
const READY_SECONDS_MAX: f64 = 1.0;

/// Measures all of them; also how many breaches the audit found afterwards.
pub async fn measure(bench: &Bench) -> Result<(Figures, usize)> {
    let progress = bar("memory and start", bench.rounds as u64 + 1);
    let mut rig = Rig::build(bench, "", None).await?;
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..bench.rounds {
        rig.server.kill()?;
        rig.server.restart().await?;
        ready.push(rig.server.ready_after.as_secs_f64());
        tokio::time::sleep(REST).await;
        idle.push(memory_mib(rig.pid())?);
        progress.inc(1);
    }
    let connected = with_connections(&rig).await?;
    progress.inc(1);
    let breaches = rig.close().await?;
    done(&progress, "memory and start".to_owned());
    let upper = |name: &str, values: &[f64], max: f64| Figure::new(name, values, Better::Lower).within(max, max);
    let figures = Figures::from([
        ("start".into(), upper("start to ready", &ready, READY_SECONDS_MAX).unit("s").conditions("without demo data")),
        (
            "memory_idle".into(),
            upper("memory at rest", &idle, IDLE_MIB_MAX).unit("MiB").conditions("resident, 2 s after the start"),
        ),
        (
            "memory_10000".into(),
            upper("memory with 10,000 connections", &[connected], CONNECTED_MIB_MAX)
                .unit("MiB")
                .conditions("resident; each connection has asked once and stays open"),
        ),
    ]);
    Ok((figures, breaches))
}

async fn with_connections(rig: &Rig) -> Result<f64> {
    let target = rig.target();
    let ask = Ask::get("/healthz")?;
    let mut connections: Vec<Connection<'_>> = (0..CONNECTIONS).map(|_| Connection::new(&target)).collect();
    for some in connections.chunks_mut(OPENED_AT_ONCE) {
        let answers = join_all(some.iter_mut().map(|connection| connection.send(&ask))).await;
        for answer in answers {
            let answer = answer.ok().context("a connection was not served (is the limit of open files too low?)")?;
            ensure!(answer.status.is_success(), "a connection was answered {}", answer.status);
        }
    }
    tokio::time::sleep(REST).await;
    memory_mib(rig.pid())
}
