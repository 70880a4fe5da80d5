//! A market of one's own: a server process in a folder, started, killed, started again, audited.
//!
//! The process is the same executable that people run, so that what is tried is what is shipped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kit::audit::Check;
use rustix::process::{Pid, Signal, kill_process};

use crate::wire::{Ask, Connection, Target};

/// How a market is started.
#[derive(Clone, Debug)]
pub struct Launch {
    pub executable: PathBuf,
    /// The data folder; exists.
    pub data: PathBuf,
    /// The configuration, TOML.
    pub config: String,
    /// PostgreSQL instead of files in the folder.
    pub database: Option<String>,
    /// On PostgreSQL: what the names of its schemas begin with.
    pub prefix: String,
    /// Only run on this core.
    pub core: Option<usize>,
}

/// A start that takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A graceful stop that takes longer is cut short.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// Written by the server when it listens.
const ADDRESS_FILE: &str = "address";
const PREFIX: &str = "JANGTEO_DATABASE_PREFIX";
const CONFIG_FILE: &str = "rush.toml";
const LOG_FILE: &str = "rush.log";

/// A running market. Dropped, it is killed.
pub struct Server {
    launch: Launch,
    child: Child,
    target: Target,
    /// From the start of the process until it said that it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it on a free port and waits until it is ready.
    pub async fn start(launch: Launch) -> Result<Self> {
        std::fs::write(launch.data.join(CONFIG_FILE), &launch.config).context("cannot write the configuration")?;
        let (child, target, ready_after) = spawn(&launch, "127.0.0.1:0").await?;
        Ok(Self { launch, child, target, ready_after })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no goodbye, nothing is written any more.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server")?;
        Ok(())
    }

    /// Starts it again at the same address, on the same data.
    pub async fn restart(&mut self) -> Result<()> {
        let address = self.target.address().to_string();
        (self.child, self.target, self.ready_after) = spawn(&self.launch, &address).await?;
        Ok(())
    }

    /// Errors: it has ended by itself; with the end of its log.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended with {status}: {}", log_end(&self.launch.data)),
        }
    }

    /// SIGTERM, and waits. Errors: it did not stop in time, or not well.
    pub async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("the process has no id")?;
        kill_process(pid, Signal::TERM).context("cannot stop the server")?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server stopped with {status}: {}", log_end(&self.launch.data));
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the server did not stop within {STOP_WITHIN:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes an administrator in the data of a market that does not run.
pub fn add_admin(launch: &Launch, email: &str, password: &str) -> Result<()> {
    let mut command = command(launch, &["admin", "add"]);
    command.args(["--email", email, "--name", "Rush"]).env("JANGTEO_ADMIN_PASSWORD", password).stdin(Stdio::null());
    let done = command.output().with_context(|| format!("cannot run {}", launch.executable.display()))?;
    ensure!(done.status.success(), "admin add: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

/// Checks every invariant in the data, in words of the market's own audit.
pub fn audit(executable: &Path, data: Option<&Path>, database: Option<(&str, &str)>) -> Result<Vec<Check>> {
    let mut command = Command::new(executable);
    command.args(["audit", "--json"]);
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    if let Some((url, prefix)) = database {
        command.args(["--database", url]).env(PREFIX, prefix);
    }
    let done = command.output().with_context(|| format!("cannot run {}", executable.display()))?;
    let checks: Result<Vec<Check>, _> = serde_json::from_slice(&done.stdout);
    checks.with_context(|| format!("the audit failed: {}", String::from_utf8_lossy(&done.stderr).trim()))
}

async fn spawn(launch: &Launch, listen: &str) -> Result<(Child, Target, Duration)> {
    let address_file = launch.data.join(ADDRESS_FILE);
    if let Err(e) = std::fs::remove_file(&address_file)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(e).context("cannot remove the old address");
    }
    let log = File::options().create(true).append(true).open(launch.data.join(LOG_FILE))?;
    let mut command = command(launch, &["serve"]);
    command.args(["--no-demo", "--listen", listen, "--config"]).arg(launch.data.join(CONFIG_FILE));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", launch.executable.display()))?;
    match ready(&mut child, &launch.data, &address_file, begun).await {
        Ok(target) => Ok((child, target, begun.elapsed())),
        Err(e) => {
            // The reason is what counts; the process is of no more use.
            let _ = child.kill();
            let _ = child.wait();
            Err(e)
        }
    }
}

async fn ready(child: &mut Child, data: &Path, address_file: &Path, begun: Instant) -> Result<Target> {
    while begun.elapsed() < READY_WITHIN {
        if let Some(status) = child.try_wait()? {
            bail!("the server ended with {status}: {}", log_end(data));
        }
        if let Some(address) = address(address_file) {
            let target = Target::at(address)?;
            let answer = Connection::new(&target).send(&Ask::get("/readyz")?).await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(target);
            }
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("the server was not ready within {READY_WITHIN:?}: {}", log_end(data))
}

fn address(file: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `jangteo <words> --data …`, on its core.
fn command(launch: &Launch, words: &[&str]) -> Command {
    let mut command = match launch.core {
        Some(core) => {
            let mut taskset = Command::new("taskset");
            taskset.arg("-c").arg(core.to_string()).arg(&launch.executable);
            taskset
        }
        None => Command::new(&launch.executable),
    };
    command.args(words).arg("--data").arg(&launch.data);
    if let Some(database) = &launch.database {
        command.args(["--database", database]).env(PREFIX, &launch.prefix);
    }
    command
}

/// The last lines of the log: what a person would look at first.
fn log_end(data: &Path) -> String {
    let log = std::fs::read_to_string(data.join(LOG_FILE)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    match lines.is_empty() {
        true => "it logged nothing".to_owned(),
        false => lines.into_iter().rev().collect::<Vec<_>>().join("\n"),
    }
}
