//! `jangteo serve`: from an empty folder to a market that is ready, and back to a folder that is at rest.
//!
//! A signal drains: not ready any more, no new requests, those that run are finished, then jobs and databases end. A
//! second signal does not wait. A part that dies takes the process with it at once: what was acknowledged is on disk,
//! and the next start recovers the rest.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::demo;
use crate::folder::{DemoStanding, Folder};
use crate::market::Market;
use crate::wire::{Form, Surroundings, is_new};

/// Serves the market in `data` until a signal. One that is new is filled with a demo first, if that is asked for.
pub async fn serve(config: &Config, data: &Path, demo: Demo) -> Result<()> {
    let begun = Instant::now();
    let folder = Folder::take(data)?;
    let mut signals = Signals::new()?;
    let mut market = tokio::select! {
        market = open(config, data, &folder, demo) => market?,
        () = signals.next() => return Ok(()),
    };
    market.set_ready(true);
    folder.write_address(market.address())?;
    tracing::info!(ready_ms = begun.elapsed().as_millis() as u64, "market is ready at {}", market.address());
    warn_of_openness(config, &market, folder.demo_standing());
    greet(&market, config, folder.demo_standing());

    let died = tokio::select! {
        () = signals.next() => None,
        died = market.died() => Some(died),
    };
    folder.remove_address();
    if let Some(died) = died {
        return Err(died);
    }
    tracing::info!("market is closing: running requests are finished first");
    tokio::select! {
        stopped = market.stop() => stopped?,
        () = signals.next() => bail!("closed in a hurry, at a second signal"),
    }
    tracing::info!("market is closed");
    Ok(())
}

/// Whether a new market is filled with something to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demo {
    Fill,
    Leave,
}

/// A market that holds something of its own is never filled: the demo brings an administrator whose password
/// everybody knows.
async fn open(config: &Config, data: &Path, folder: &Folder, demo: Demo) -> Result<Market> {
    if demo == Demo::Fill && is_new(&config.source(data)).await? {
        folder.note_demo(DemoStanding::Begun)?;
    }
    let market = Market::start(config, data, Form::Local, &Surroundings::default()).await?;
    if demo == Demo::Fill && folder.demo_standing() == DemoStanding::Begun {
        demo::fill(market.clients()).await?;
        folder.note_demo(DemoStanding::Filled)?;
    }
    Ok(market)
}

/// Things that are right at home and wrong in public.
fn warn_of_openness(config: &Config, market: &Market, demo: DemoStanding) {
    if market.address().ip().is_loopback() {
        return;
    }
    if demo != DemoStanding::None {
        tracing::warn!("this is a demo market: everybody knows its administrator's password");
    }
    if config.mail.smtp_url.is_none() {
        tracing::warn!("everybody can read all mail at /dev/mail: set [mail] smtp_url before this market is public");
    }
    if config.rehearsal.enabled {
        tracing::warn!("rehearsal doors are open: switch [rehearsal] enabled off before this market is public");
    }
}

fn greet(market: &Market, config: &Config, demo: DemoStanding) {
    let url = market.url();
    let mut text = format!("\n  장터 Jangteo is open at {url}\n\n    API        {url}/docs\n");
    if config.mail.smtp_url.is_none() {
        text += &format!("    mailbox    {url}/dev/mail\n");
    }
    if let Some(metrics) = config.server.metrics {
        text += &format!("    metrics    http://{metrics}/metrics\n");
    }
    if demo != DemoStanding::None {
        text += &demo::accounts();
    }
    text += "\n  Ctrl-C closes it.\n";
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The two signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
