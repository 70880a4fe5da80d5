//! `cargo xtask`: the commands that developers and the build machine run. Thin: it starts other programs, says what
//! it does and how long it took, and never hides a step that could not run.

mod ban;
mod bench;
mod graph;
mod postgres;
mod step;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Developer commands of Jangteo", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every check and every test, on SQLite and on a PostgreSQL server of its own.
    Test,
    /// Checks who knows whom among the crates.
    Graph,
    /// Checks the dependency tree against deny.toml.
    Ban,
    /// Measures the server and writes the table and the picture of the README.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = root().and_then(|root| match Cli::parse().command {
        Command::Test => Ok(suite::run_all(&root)),
        Command::Graph => graph::check(&root).map(|report| {
            println!("{report}");
            true
        }),
        Command::Ban => ban::check(&root).map(|report| {
            println!("{report}");
            true
        }),
        Command::Bench(args) => bench::run(&root, &args),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask lies in the workspace")?.to_owned())
}
