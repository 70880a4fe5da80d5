//! Measures the server against itself: ratios taken in one run, medians and spreads, the audit of the same run.
//!
//! The server runs on one core and this program on another (`taskset`), where there are two. Nothing here is timed in
//! a test: machines are noisy.

mod durable;
mod figure;
mod footprint;
mod hot;
mod load;
mod lock;
mod meter;
mod recovery;
mod rig;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::bench::figure::{Figures, Grade};
use crate::bench::load::Pace;
use crate::bench::rig::Bench;

/// Measures a build of the server.
#[derive(Parser, Debug)]
pub struct Args {
    /// Only these, such as R1,R2; `start` and `memory` too.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// The server's program.
    #[arg(long, default_value = "target/release/jangteo")]
    executable: PathBuf,

    /// Where data goes: on a disk that syncs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,

    /// The core the server is bound to; start this program on another one.
    #[arg(long)]
    server_core: Option<usize>,

    /// A PostgreSQL database, for R8.
    #[arg(long)]
    postgres: Option<String>,

    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,

    /// Length of one measurement: short, so that what is compared lies close together.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=60))]
    seconds: u8,

    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,

    /// Orders in the database when it is killed, for R12.
    #[arg(long, default_value_t = 1_000_000)]
    orders: u64,

    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Writes the table into this file, between its markers.
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,

    /// Writes the picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Load before each measurement.
const WARM: Duration = Duration::from_millis(700);
/// Ten thousand connections and some files.
const FILES_MIN: u64 = 12_000;

/// Measures, prints, writes; true when every floor is reached and every audit is clean.
pub fn run(args: &Args) -> Result<bool> {
    raise_file_limit()?;
    crate::block_on(measure(args))
}

async fn measure(args: &Args) -> Result<bool> {
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make {}", args.folder.display()))?;
    let bench = Bench {
        executable: std::path::absolute(&args.executable)?,
        folder: std::path::absolute(&args.folder)?,
        core: args.server_core,
        rounds: args.rounds.into(),
        pace: Pace {
            connections: args.connections.into(),
            warm: WARM,
            window: Duration::from_secs(args.seconds.into()),
        },
    };
    let mut figures = Figures::new();
    let mut breaches = 0;
    let mut keep = |(found, broken): (Figures, usize)| {
        figures.extend(found);
        breaches += broken;
    };
    if wanted(args, &["start", "memory"]) {
        keep(footprint::measure(&bench).await.context("memory and start")?);
    }
    if wanted(args, &["R1", "R2", "R5", "R6"]) {
        keep(hot::measure(&bench).await.context("R1, R2, R5, R6")?);
    }
    if wanted(args, &["R3", "R4", "R11"]) {
        keep(durable::measure(&bench).await.context("R3, R4, R11")?);
    }
    match &args.postgres {
        Some(url) if wanted(args, &["R8"]) => keep(lock::measure(&bench, url).await.context("R8")?),
        Some(_) => {}
        None => eprintln!("R8 is left out: no PostgreSQL was given."),
    }
    if wanted(args, &["R12"]) {
        keep(recovery::measure(&bench, args.orders).await.context("R12")?);
    }
    ensure!(!figures.is_empty(), "nothing to measure: {:?}", args.only);
    publish(args, &figures, breaches)?;
    Ok(breaches == 0 && figures.values().all(|figure| figure.grade() != Grade::Below))
}

fn wanted(args: &Args, keys: &[&str]) -> bool {
    args.only.is_empty() || args.only.iter().any(|only| keys.contains(&only.as_str()))
}

fn publish(args: &Args, figures: &Figures, breaches: usize) -> Result<()> {
    let bound = match args.server_core {
        Some(_) => "server and client each bound to a core of their own",
        None => "server and client share all cores",
    };
    let table = table::markdown(figures, &format!("{}; {bound}", meter::machine()), breaches);
    println!("{table}");
    if let Some(path) = &args.json {
        crate::write(path, &(serde_json::to_string_pretty(figures)? + "\n"))?;
    }
    if let Some(path) = &args.readme {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        crate::write(path, &table::insert(&text, &table)?)?;
    }
    if let Some(path) = &args.svg {
        crate::write(path, &table::svg(figures))?;
    }
    Ok(())
}

/// Ten thousand connections are ten thousand files, here and in the server, which inherits the limit.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= FILES_MIN) {
        return Ok(());
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}
