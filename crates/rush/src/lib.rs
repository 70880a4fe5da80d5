//! The crowd: ten thousand people press one button, over real HTTP, and every answer they get is checked afterwards.
//!
//! Knows the market only from outside: its routes and bodies ([`contract`]), its command line, its audit. Used by
//! `jangteo rush` and by the bench. Never looks into a database itself.

mod args;
pub mod bench;
mod crowd;
mod fairness;
mod finding;
mod fleet;
mod html;
mod market;
mod picture;
mod progress;
mod record;
mod report;
mod server;
mod stage;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

pub use args::Args;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join;
use kit::{Clock as _, SystemClock};

use crate::crowd::{Crowd, Event};
use crate::market::Market;
use crate::progress::{bar, done};
use crate::record::Record;
use crate::report::Report;
use crate::server::Server;
use crate::stage::{Desk, Drop, announce, invite, open_shop, stock_item};

/// From announcing the drop to its opening: time for those who cannot wait.
const ANNOUNCED_MS: i64 = 3_000;
/// The drop stays open this long, far longer than it takes.
const OPEN_MS: i64 = 3_600_000;
/// How many press before the opening.
const EARLY: usize = 20;
/// Units must come back this soon after their hold has ended.
const STALL: Duration = Duration::from_secs(30);
/// How often it is looked whether it is time to kill the server.
const KILL_POLL: Duration = Duration::from_millis(1);
const ALIVE_POLL: Duration = Duration::from_millis(100);

/// Runs the crowd and prints what came of it; true when everything holds.
///
/// Blocks the calling thread; the crowd works in a thread and a runtime of its own.
pub fn run(args: Args) -> Result<bool> {
    let crowd = std::thread::Builder::new().name("crowd".into()).spawn(move || block_on(rush(&args)));
    match crowd.context("cannot start the crowd")?.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// One thread is enough for a crowd, and leaves the others to the market.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn rush(args: &Args) -> Result<bool> {
    let mut market = Market::open(args).await?;
    let outcome = rush_at(args, &mut market).await;
    if !matches!(outcome, Ok(true))
        && let Some(folder) = market.keep()
    {
        println!("The market's data and log are kept in {} for a closer look.", folder.display());
    }
    outcome
}

async fn rush_at(args: &Args, market: &mut Market) -> Result<bool> {
    let event = set_stage(args, market).await?;
    let record = sell(args, &event, market).await?;

    let checking = bar("checking from outside", 0);
    let findings = verify::verify(&event, &record, &checking).await?;
    done(&checking, format!("{} acknowledged orders and {} buyers checked", record.holds().count(), args.buyers));
    let audit = market.close().await?;
    let report = Report::new(args, event.hold, &record, findings, audit, market.engine());

    if let Some(path) = &args.json {
        write(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    if let Some(path) = &args.html {
        write(path, &html::page(&report, &record))?;
    }
    println!("{}", report.text());
    Ok(report.holds())
}

/// Somebody to sell, something to sell, a crowd, and a drop that is about to open.
async fn set_stage(args: &Args, market: &Market) -> Result<Event> {
    let target = market.target().clone();
    let mut desk = Desk::new(&target);
    let admin = market.sign_in(&mut desk).await?;
    let seller = market.hire(&mut desk).await?;
    let shop = open_shop(&mut desk, &admin, seller).await?;
    let units = i64::from(args.units);
    let options = stock_item(&mut desk, &shop, "Limited", 1, units).await?;
    let option = *options.first().context("the item has no option")?;

    let making = bar("making buyers", u64::from(args.buyers));
    let buyers = invite(&mut desk, &admin, args.buyers, args.walk_away, args.seed, &making).await?;
    done(&making, format!("{} buyers are signed in", buyers.len()));

    let opens_at = SystemClock.now().plus_ms(ANNOUNCED_MS);
    let closes_at = opens_at.plus_ms(OPEN_MS);
    let drop = Drop { option, quantity: units, opens_at, closes_at, limit: Some(i64::from(args.limit)) };
    let sale = announce(&mut desk, &shop, &drop).await?;
    Ok(Event {
        buyers,
        option,
        sale: sale.id,
        // By the server's own clock.
        opens_in: Duration::from_millis(u64::try_from(opens_at.since(sale.now)).unwrap_or(0)),
        seller: shop.token,
        units: args.units,
        limit: args.limit,
        connections: args.connections,
        rate: args.rate,
        hold: Duration::from_secs_f64(args.hold_seconds),
        stall: STALL,
        run: desk.run().to_owned(),
        target,
    })
}

/// The opening, the rush, the payments, and what comes after the first holds end.
async fn sell(args: &Args, event: &Event, market: &mut Market) -> Result<Record> {
    let crowd = Crowd::new(event);
    let opening = tokio::time::Instant::now() + event.opens_in;
    crowd.press_early(EARLY).await;
    tokio::time::sleep_until(opening).await;

    let rushing = bar("rush", u64::from(args.buyers));
    let over = Cell::new(false);
    let rush = async {
        crowd.rush(&rushing).await;
        over.set(true);
        Ok(())
    };
    match market.server() {
        Some(server) => try_join(rush, tend(args, &crowd, server, &over)).await.map(|_| ())?,
        None => rush.await?,
    }
    done(&rushing, format!("{} buyers were answered", args.buyers));
    let paying = bar("sold", u64::from(args.units));
    crowd.come_back(&paying).await?;
    done(&paying, "nothing is held any more".to_owned());
    Ok(crowd.into_record())
}

/// Kills the server whenever another equal part of the units has been given, and sees to it that it lives otherwise.
async fn tend(args: &Args, crowd: &Crowd<'_>, server: &mut Server, over: &Cell<bool>) -> Result<()> {
    let given = u64::from(args.units.min(args.buyers));
    for kill in 1..=u64::from(args.kills) {
        let enough = given * kill / (u64::from(args.kills) + 1);
        while u64::from(crowd.held()) < enough && !over.get() {
            tokio::time::sleep(KILL_POLL).await;
            server.check_alive()?;
        }
        server.kill()?;
        crowd.note_kill();
        server.restart().await?;
    }
    while !over.get() {
        tokio::time::sleep(ALIVE_POLL).await;
        server.check_alive()?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
