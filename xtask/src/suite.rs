//! `cargo xtask test`: every check and every test, one after the other, whatever failed before.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::postgres::{Cluster, Durability, find_or_install};
use crate::step::{Count, Tally, cargo, run, run_tests};
use crate::{ban, graph};

/// Where the tests find PostgreSQL.
const TEST_POSTGRES: &str = "JANGTEO_TEST_POSTGRES";
/// A crowd small enough for a debug build, with a kill in the middle.
const SMOKE: &[&str] =
    &["rush", "--buyers", "2000", "--units", "200", "--connections", "64", "--hold-seconds", "10", "--kills", "1"];

/// True when nothing failed.
pub fn run_all(root: &Path) -> bool {
    let mut tally = Tally::default();
    let run_cargo = |words: &[&str]| run(cargo(root).args(words));
    tally.step("formatting", || run_cargo(&["fmt", "--all", "--check"]).map(|()| "as rustfmt would".into()));
    tally.step("crate graph", || graph::check(root));
    tally.step("dependencies", || ban::check(root));
    tally.step("lints", || {
        let words = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"];
        run_cargo(&words).map(|()| "no warning".into())
    });
    tally.step("build", || {
        run_cargo(&["build", "--workspace", "--all-targets", "--all-features"]).map(|()| "all targets".into())
    });
    let mut postgres = None;
    tally.step("PostgreSQL", || {
        let bin = find_or_install()?;
        let cluster = Cluster::start(&bin, Durability::None, None)?;
        let text = format!("a server of our own, {}", cluster.url());
        postgres = Some((bin, cluster));
        Ok(text)
    });
    tally.counted("tests", || {
        let count = tests(root, postgres.as_ref().map(|(_, cluster)| cluster))?;
        Ok((format!("{} passed, {} failed", count.passed, count.failed), count))
    });
    let jangteo = target(root).join("debug/jangteo");
    tally.step("rush on SQLite", || run(Command::new(&jangteo).args(SMOKE)).map(|()| "everything holds".into()));
    tally.step("rush on PostgreSQL", || {
        let (bin, cluster) = postgres.as_ref().context("there is no PostgreSQL")?;
        let database = cluster.create(bin, "rush")?;
        run(Command::new(&jangteo).args(SMOKE).args(["--database", &database])).map(|()| "everything holds".into())
    });
    tally.close()
}

fn tests(root: &Path, postgres: Option<&Cluster>) -> Result<Count> {
    let postgres = postgres.context("the tests need PostgreSQL")?;
    let has_nextest = cargo(root).args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let mut command = cargo(root);
    match has_nextest {
        true => command.args(["nextest", "run", "--no-fail-fast"]),
        false => command.args(["test", "--all-targets", "--no-fail-fast"]),
    };
    command.args(["--workspace", "--all-features"]);
    run_tests(command.env(TEST_POSTGRES, postgres.url()))
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}
