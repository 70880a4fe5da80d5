//! A PostgreSQL server of one's own: a fresh cluster on a free port, gone when it is dropped.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Whether the cluster survives a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Fast: for tests, whose data nobody misses.
    None,
    /// As a shop would run it: for measuring.
    Full,
}

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(15);
const USER: &str = "jangteo";
/// A name of its own, so that a glance at the process list tells whose it is.
const FOLDER: &str = "jangteo-postgres";

/// A running server.
pub struct Cluster {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts a cluster; on this core only, when one is named.
    pub fn start(bin: &Path, durability: Durability, core: Option<usize>) -> Result<Self> {
        let owner = owner()?;
        // Not below the workspace: PostgreSQL runs as its own user, who may not be able to look into it.
        let folder = PathBuf::from(format!("/var/tmp/{FOLDER}-{}", std::process::id()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if let Some((uid, gid)) = owner {
            chown(&folder, Some(uid), Some(gid))?;
        }
        let data = folder.join("data");
        let mut initdb = as_owner(Command::new(bin.join("initdb")), owner);
        initdb.arg("--pgdata").arg(&data).args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"]);
        initdb.args(["--locale", "C.UTF-8", "--no-sync"]);
        let made = initdb.output().context("cannot run initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = match core {
            Some(core) => {
                let mut taskset = Command::new("taskset");
                taskset.arg("-c").arg(core.to_string()).arg(bin.join("postgres"));
                taskset
            }
            None => Command::new(bin.join("postgres")),
        };
        server.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        for setting in settings(durability) {
            server.arg("-c").arg(setting);
        }
        let log = File::create(folder.join("log"))?;
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = as_owner(server, owner).spawn().context("cannot start postgres")?;
        let mut cluster = Self { child, folder, port };
        cluster.wait()?;
        Ok(cluster)
    }

    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Makes an empty database; its URL.
    pub fn create(&self, bin: &Path, name: &str) -> Result<String> {
        let mut createdb = Command::new(bin.join("createdb"));
        createdb.args(["--host", "127.0.0.1", "--port"]).arg(self.port.to_string()).args(["--username", USER, name]);
        let made = createdb.output().context("cannot run createdb")?;
        ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(self.database_url(name))
    }

    fn database_url(&self, name: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }

    /// It answers once its sockets are open and recovery is over.
    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        let log = |folder: &Path| std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        while begun.elapsed() < START_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("postgres ended with {status}: {}", log(&self.folder));
            }
            let listens = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if listens && log(&self.folder).contains("ready to accept connections") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("postgres did not start within {START_WITHIN:?}: {}", log(&self.folder))
    }

    /// SIGINT is PostgreSQL's fast shutdown.
    fn stop(&mut self) -> Result<()> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_WITHIN {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = self.stop();
        let removed = std::fs::remove_dir_all(&self.folder);
        if let Err(e) = stopped.and(removed.map_err(Into::into)) {
            eprintln!("cannot clean up {}: {e}", self.folder.display());
        }
    }
}

/// Where the server's programs are, newest version first.
pub fn find() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// Installs PostgreSQL where it is missing, saying so.
pub fn find_or_install() -> Result<PathBuf> {
    if let Some(bin) = find() {
        return Ok(bin);
    }
    println!("PostgreSQL is not installed: installing the package postgresql with apt.");
    let apt = |words: &[&str]| {
        let mut command = match is_root()? {
            true => Command::new("apt-get"),
            false => {
                let mut sudo = Command::new("sudo");
                sudo.arg("apt-get");
                sudo
            }
        };
        crate::step::run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-q"])?;
    apt(&["install", "-q", "-y", "--no-install-recommends", "postgresql"])?;
    find().context("PostgreSQL was installed, but its programs are not where they are expected")
}

fn settings(durability: Durability) -> Vec<&'static str> {
    let mut settings = vec![
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        "shared_buffers=256MB",
        "max_wal_size=4GB",
    ];
    if durability == Durability::None {
        settings.extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"]);
    }
    settings
}

/// PostgreSQL refuses to run as root: then the user that its package made owns the cluster.
fn owner() -> Result<Option<(u32, u32)>> {
    if !is_root()? {
        return Ok(None);
    }
    let id = |what: &str| -> Result<u32> {
        let output = Command::new("id").args([what, "postgres"]).output().context("cannot run id")?;
        ensure!(output.status.success(), "there is no user postgres to run PostgreSQL as");
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    Ok(Some((id("-u")?, id("-g")?)))
}

fn is_root() -> Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}
