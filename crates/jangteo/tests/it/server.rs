//! The real program as a process of its own: started, stopped, killed, audited.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Http;

const PROGRAM: &str = env!("CARGO_BIN_EXE_jangteo");
/// A start, a stop or a death that takes longer does not come.
const WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(3);

pub const ADMIN_EMAIL: &str = "operator@example.com";
pub const ADMIN_PASSWORD: &str = "correct horse battery";

/// How the program is started.
pub struct Launch {
    /// Removed in the end.
    folder: tempfile::TempDir,
    /// A PostgreSQL server and what the names of the schemas there begin with.
    pub database: Option<(String, String)>,
    /// Words before the program's own, such as those that put it into another namespace.
    pub before: Vec<String>,
    /// Where this process finds the program's root folder.
    pub root: PathBuf,
}

impl Launch {
    /// In a new folder, with this configuration (TOML).
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("jangteo.toml"), config).expect("configuration");
        std::fs::create_dir(folder.path().join("data")).expect("data folder");
        Self { folder, database: None, before: Vec::new(), root: PathBuf::from("/") }
    }

    /// The data folder, as the program sees it.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the processes of this launch wrote to standard output and error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The data folder, as this process sees it.
    fn seen(&self, file: &str) -> PathBuf {
        let data = self.data();
        self.root.join(data.strip_prefix("/").expect("an absolute path")).join(file)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command.args(words).arg("--data").arg(self.data());
        command.arg("--config").arg(self.folder.path().join("jangteo.toml")).stdin(Stdio::null());
        if let Some((url, prefix)) = &self.database {
            command.args(["--database", url]).env("JANGTEO_DATABASE_PREFIX", prefix);
        }
        command
    }

    /// Makes the operator [`ADMIN_EMAIL`].
    pub fn add_admin(&self) {
        let mut command = self.command(&["admin", "add", "--email", ADMIN_EMAIL, "--name", "Operator"]);
        let done = command.env("JANGTEO_ADMIN_PASSWORD", ADMIN_PASSWORD).output().expect("the program runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// `jangteo audit`: every invariant holds, or the test fails.
    pub fn audit(&self) {
        let done = self.command(&["audit"]).output().expect("the program runs");
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{said}\n{}", self.log());
        for invariant in ["I1 ", "I2 ", "I3 ", "I4 ", "I5 ", "I8 ", "I9 ", "I10 ", "I12 ", "I13 "] {
            assert!(
                said.lines().any(|line| line.starts_with(invariant) && line.contains(" ok ")),
                "{invariant}: {said}"
            );
        }
    }

    /// Starts `jangteo serve` with these variables, and waits until it is ready.
    pub async fn serve(&self, variables: &[(&str, &str)]) -> Server {
        let address_file = self.seen("address");
        // That of the last start; there is none at the first.
        let _ = std::fs::remove_file(&address_file);
        let log = File::options().create(true).append(true).open(self.log_file()).expect("log");
        let mut command = self.command(&["serve", "--no-demo", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied()).stdout(log.try_clone().expect("log")).stderr(log);
        let mut child = command.spawn().expect("the program runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the program ended with {status}: {}", self.log());
            }
            if let Some(address) = address(&address_file) {
                return Server { child, http: Http::to(format!("http://{address}")) };
            }
            assert!(begun.elapsed() < WITHIN, "the program does not get ready: {}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Written when the server is ready.
fn address(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.ends_with('\n').then(|| text.trim().to_owned())
}

/// A running server. Dropped, it is killed.
pub struct Server {
    child: Child,
    http: Http,
}

impl Server {
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The process is there and says so.
    pub async fn is_alive(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child").is_some();
        !ended && self.http.ask(Method::GET, "/healthz").send().await.status == 200
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        let status = self.child.wait().expect("a child");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it had ended before: {status}");
    }

    /// SIGTERM, and waits; it must end well.
    pub async fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("asked to stop");
        let status = self.ended().await;
        assert!(status.success(), "{status}");
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < WITHIN, "the program does not end");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
