//! A full disk: what cannot be kept is refused, what was kept can be read, and with space again all goes on.
//!
//! The data folder is a small file system in memory, in a mount namespace of its own that a sleeping process holds.
//! SQLite only: PostgreSQL's disk is its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::CONFIG;
use crate::crowd::Crowd;
use crate::server::Launch;

/// Of the disk.
const SIZE: &str = "64m";
/// What is left free when it is filled up: enough for some orders.
const FREE_KIB: usize = 600;
/// Rounds of everybody within which the rest must be full.
const ROUNDS_MAX: usize = 2_000;
/// Rounds on the full disk.
const ROUNDS_FULL: usize = 20;

#[tokio::test]
async fn a_full_disk_refuses_and_forgets_nothing() {
    let mut launch = Launch::new(CONFIG);
    let disk = match SmallDisk::mount(&launch) {
        Ok(disk) => disk,
        // What is not proven must not look proven where it counts.
        Err(why) if std::env::var_os("CI").is_some() => panic!("a full disk cannot be tried here: {why}"),
        Err(why) => {
            eprintln!("NOT TRIED: a full disk: {why}");
            return;
        }
    };
    launch.before = disk.enter();
    launch.root = disk.root();
    launch.add_admin();
    let mut server = launch.serve(&[]).await;
    let mut crowd = Crowd::gather(server.http()).await;
    crowd.press_once(server.http()).await;
    disk.fill_up();

    let mut rounds = 0;
    while crowd.press_once(server.http()).await.iter().any(|reply| reply.status == 201) {
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "the disk does not get full");
    }
    for _ in 0..ROUNDS_FULL {
        // A log may be folded into its file and make room for a moment: then orders are kept, and may be said to be.
        for reply in crowd.press_once(server.http()).await {
            assert!(matches!(reply.status, 201 | 503), "{reply:?}: {}", launch.log());
        }
        crowd.read_one(server.http()).await.expect(200);
    }
    assert!(server.is_alive().await, "it does not give up: {}", launch.log());

    // Killed while it is full; the space comes back before it does.
    server.kill();
    disk.make_room();
    let mut server = launch.serve(&[]).await;
    crowd.compare(server.http()).await;
    // And once more, without a restart.
    disk.fill_up();
    while crowd.press_once(server.http()).await.iter().any(|reply| reply.status == 201) {}
    disk.make_room();
    let begun = std::time::Instant::now();
    while crowd.press_once(server.http()).await.iter().any(|reply| reply.status != 201) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not recover: {}", launch.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    crowd.compare(server.http()).await;
    assert!(server.is_alive().await);
    server.stop().await;
    launch.audit();
}

/// A file system in memory on the data folder of a launch, seen only by processes in its namespace.
struct SmallDisk {
    holder: Child,
    /// Without being root, a user namespace makes it possible.
    words: Vec<&'static str>,
    data: String,
}

impl SmallDisk {
    /// Errors: why it cannot be had here.
    fn mount(launch: &Launch) -> Result<Self, String> {
        let data = launch.data().to_str().expect("a path of text").to_owned();
        let mut whys = String::new();
        for (unshare, words) in [("-m", vec!["-m"]), ("-Urm", vec!["-U", "--preserve-credentials", "-m"])] {
            let script =
                format!("mount -t tmpfs -o size={SIZE},mode=700 tmpfs '{data}' && echo mounted && exec sleep 3600");
            let mut command = Command::new("unshare");
            command.args([unshare, "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut holder = command.stderr(Stdio::piped()).spawn().map_err(|e| format!("no unshare: {e}"))?;
            match first_line(&mut holder) {
                Some(line) if line == "mounted" => return Ok(Self { holder, words, data }),
                _ => {
                    let done = holder.wait_with_output().map_err(|e| e.to_string())?;
                    whys += String::from_utf8_lossy(&done.stderr).trim();
                    whys.push(' ');
                }
            }
        }
        Err(whys)
    }

    /// Words that run a command in the namespace.
    fn enter(&self) -> Vec<String> {
        let words = ["nsenter".to_owned(), "-t".to_owned(), self.holder.id().to_string()];
        words.into_iter().chain(self.words.iter().map(|word| (*word).to_owned())).collect()
    }

    /// Where others find the root folder of the namespace.
    fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.holder.id()).into()
    }

    /// A file that takes away space.
    fn ballast(&self) -> PathBuf {
        self.root().join(self.data.trim_start_matches('/')).join("ballast")
    }

    fn free_kib(&self) -> usize {
        let enter = self.enter();
        let df = Command::new(&enter[0]).args(&enter[1..]).args(["df", "--output=avail", "-k", &self.data]).output();
        let df = df.expect("nsenter");
        let said = String::from_utf8_lossy(&df.stdout).into_owned();
        said.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a size")
    }

    /// Leaves little room.
    fn fill_up(&self) {
        let bytes = (self.free_kib() - FREE_KIB) * 1_024;
        std::fs::write(self.ballast(), vec![1; bytes]).expect("ballast");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // With its last process the namespace goes, and the file system with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn first_line(child: &mut Child) -> Option<String> {
    use std::io::{BufRead as _, BufReader};
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut()?).read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}
