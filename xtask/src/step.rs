//! Steps: announced, timed, counted. A step that cannot run has failed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// How many checks and tests passed and failed so far.
#[derive(Default)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Runs one step, which counts as one check.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<String>) {
        self.counted(name, || work().map(|text| (text, Count { passed: 1, failed: 0 })));
    }

    /// Runs one step that says itself how much it checked.
    pub fn counted(&mut self, name: &str, work: impl FnOnce() -> Result<(String, Count)>) {
        println!("\n=== {name}");
        let begun = Instant::now();
        let outcome = work();
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok((text, count)) => {
                self.passed += count.passed;
                self.failed += count.failed;
                if count.failed > 0 {
                    self.failures.push(name.to_owned());
                }
                println!("--- {name}: {text} ({seconds:.1} s)");
            }
            Err(e) => {
                self.failed += 1;
                self.failures.push(name.to_owned());
                println!("--- {name} FAILED ({seconds:.1} s): {e:#}");
            }
        }
    }

    /// The closing line; true when nothing failed.
    pub fn close(&self) -> bool {
        println!();
        if !self.failures.is_empty() {
            println!("failed: {}", self.failures.join(", "));
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// What one step found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
}

/// `cargo`, as a person would start it in the workspace.
///
/// The variables that `cargo run` set for this program must not reach it: build scripts look at them (that of ring
/// does), and what was built a moment ago would be built again.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| OF_THIS_PACKAGE.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    command.current_dir(root);
    command
}

const OF_THIS_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// Runs a command with its output in view. Errors: it cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} ended with {status}", command.get_program().display());
    Ok(())
}

/// Runs the tests with their output in view, and reads from it how many there were.
pub fn run_tests(command: &mut Command) -> Result<Count> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("no output")?;
    let stderr = child.stderr.take().context("no output")?;
    // cargo test reports on one, nextest on the other.
    let count = std::thread::scope(|scope| {
        let other = scope.spawn(move || watch(stderr));
        let count = watch(stdout);
        other.join().map(|other| add(count, other))
    });
    let count = count.map_err(|_| anyhow::anyhow!("reading the output failed"))?;
    let status = child.wait()?;
    ensure!(status.success() || count.failed > 0, "the tests ended with {status}");
    ensure!(count.passed + count.failed > 0, "no test was run");
    Ok(count)
}

fn watch(output: impl std::io::Read) -> Count {
    let mut count = Count::default();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("{line}");
        count = add(count, counted(&line));
    }
    count
}

fn add(one: Count, other: Count) -> Count {
    Count { passed: one.passed + other.passed, failed: one.failed + other.failed }
}

/// Reads `Summary […] 45 tests run: 44 passed, 1 failed, 0 skipped` and `test result: ok. 12 passed; 0 failed; …`.
fn counted(line: &str) -> Count {
    // Indented, a result is what nextest quotes from a test that failed, and is in its summary too.
    if !line.trim_start().starts_with("Summary [") && !line.starts_with("test result:") {
        return Count::default();
    }
    let words: Vec<&str> = line.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
    let before = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
    };
    let failed = before("failed").unwrap_or(0) + before("timed").unwrap_or(0);
    Count { passed: before("passed").unwrap_or(0), failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let cases = [
            ("     Summary [   0.021s] 45 tests run: 44 passed, 1 failed, 3 skipped", (44, 1)),
            ("     Summary [   9.021s] 45 tests run: 45 passed (1 slow), 0 skipped", (45, 0)),
            ("     Summary [   9.021s] 45 tests run: 43 passed, 1 failed, 1 timed out, 0 skipped", (43, 2)),
            ("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s", (12, 0)),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored", (1, 2)),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 203 filtered out", (0, 0)),
            ("12 passed", (0, 0)),
        ];
        for (line, (passed, failed)) in cases {
            assert_eq!(counted(line), Count { passed, failed }, "{line}");
        }
    }

    #[test]
    fn a_step_that_cannot_run_has_failed() {
        let mut tally = Tally::default();
        tally.step("good", || Ok("fine".into()));
        tally.step("bad", || run(&mut Command::new("/no/such/program")).map(|()| String::new()));
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert!(!tally.close());
    }
}
