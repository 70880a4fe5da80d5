//! `cargo xtask bench`: builds the server and the program that measures it, gives each a core, and a PostgreSQL where
//! there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::postgres::{self, Cluster, Durability};
use crate::step::{cargo, run as run_command};
use crate::suite::target;

#[derive(clap::Args)]
pub struct Args {
    /// Only these, such as R1,R2; the README is then left as it is.
    #[arg(long)]
    only: Option<String>,

    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Options of the measuring program, such as --rounds 5 --seconds 5.
    #[arg(last = true)]
    more: Vec<String>,
}

const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
const TABLE: &str = "README.md";
const PICTURE: &str = "docs/bench.svg";

/// True when every floor is reached and no audit found a breach.
pub fn run(root: &Path, args: &Args) -> Result<bool> {
    // One build for both, so that they share what they are built from.
    let packages = ["build", "--release", "--package", "jangteo", "--package", "rush", "--bins"];
    run_command(cargo(root).args(packages))?;
    let apart = std::thread::available_parallelism()?.get() > 1;
    if !apart {
        println!("There is only one core: server and client share it, and ratios of throughput mean little.");
    }
    let bench = target(root).join("release/jangteo-bench");
    let mut command = match apart {
        true => {
            let mut taskset = Command::new("taskset");
            taskset.arg("-c").arg(CLIENT_CORE.to_string()).arg(bench);
            taskset.arg("--server-core").arg(SERVER_CORE.to_string());
            taskset
        }
        false => Command::new(bench),
    };
    command.current_dir(root).arg("--executable").arg(target(root).join("release/jangteo"));
    command.arg("--folder").arg(target(root).join("bench"));
    match &args.only {
        Some(only) => command.args(["--only", only]),
        None => {
            std::fs::create_dir_all(root.join("docs"))?;
            command.args(["--readme", TABLE, "--svg", PICTURE])
        }
    };
    if let Some(json) = &args.json {
        command.arg("--json").arg(std::path::absolute(json)?);
    }
    command.args(&args.more);
    let postgres = postgres(args, apart.then_some(SERVER_CORE))?;
    if let Some(cluster) = &postgres {
        command.args(["--postgres", &cluster.url()]);
    }
    Ok(command.status().context("cannot start the measuring program")?.success())
}

/// A durable server for R8, where PostgreSQL is installed.
fn postgres(args: &Args, core: Option<usize>) -> Result<Option<Cluster>> {
    let wanted = args.only.as_ref().is_none_or(|only| only.split(',').any(|key| key == "R8"));
    match postgres::find().filter(|_| wanted) {
        Some(bin) => Cluster::start(&bin, Durability::Full, core).map(Some),
        None => Ok(None),
    }
}
