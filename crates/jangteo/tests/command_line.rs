//! The program as people and scripts run it: a process with arguments, signals, files and exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(60);

fn jangteo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangteo"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A market process; killed when it is dropped.
struct Serving(Child);

impl Serving {
    fn start(data: &Path, words: &[&str]) -> Self {
        Self::start_with(data, &[&["--no-demo"], words].concat())
    }

    fn start_with(data: &Path, words: &[&str]) -> Self {
        let mut command = jangteo(&["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(data).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut serving = Self(command.spawn().expect("the program starts"));
        let begun = Instant::now();
        while !data.join("address").exists() {
            assert!(serving.0.try_wait().expect("status").is_none(), "it ended: {}", serving.log());
            assert!(begun.elapsed() < PATIENCE, "no address");
            std::thread::sleep(Duration::from_millis(5));
        }
        serving
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).expect("pid");
        kill_process(Pid::from_raw(pid).expect("pid"), signal).expect("signal");
    }

    /// The exit code; `None` when a signal ended it.
    fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("status") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.0.stderr.take().expect("stderr").read_to_string(&mut log).expect("text");
        log
    }

    fn banner(&mut self) -> String {
        let mut banner = String::new();
        self.0.stdout.take().expect("stdout").read_to_string(&mut banner).expect("text");
        banner
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(data: &Path, path: &str, headers: &str) -> String {
    let address = std::fs::read_to_string(data.join("address")).expect("address");
    let mut stream = TcpStream::connect(address.trim()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn a_market_serves_until_a_signal_and_leaves_a_folder_at_rest() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().expect("folder");
        let mut serving = Serving::start(dir.path(), &[]);
        assert!(get(dir.path(), "/readyz", "").starts_with("HTTP/1.1 200"));
        serving.signal(signal);
        assert_eq!(serving.ended(), Some(0), "{}", serving.log());
        assert!(!dir.path().join("address").exists());
        let banner = serving.banner();
        assert!(banner.contains("/docs") && banner.contains("/dev/mail"), "{banner}");
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).expect("folder").map(|e| e.expect("entry").file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with("-wal")), "logs are folded in: {left:?}");
    }
}

#[test]
fn a_killed_market_starts_again_on_its_data() {
    let dir = tempfile::tempdir().expect("folder");
    let mut serving = Serving::start(dir.path(), &[]);
    serving.signal(Signal::KILL);
    assert_eq!(serving.ended(), None);
    // The address of the dead is still there; a new one replaces it.
    std::fs::remove_file(dir.path().join("address")).expect("the old address");
    let serving = Serving::start(dir.path(), &[]);
    assert!(get(dir.path(), "/readyz", "").starts_with("HTTP/1.1 200"));
    drop(serving);
}

#[test]
fn a_folder_in_use_is_refused_but_can_be_audited_and_given_an_administrator() {
    let dir = tempfile::tempdir().expect("folder");
    let data = dir.path().to_str().expect("path");
    let _serving = Serving::start(dir.path(), &[]);
    for words in [
        &["serve", "--no-demo", "--listen", "127.0.0.1:0", "--data", data][..],
        &["seed", "--data", data],
        &["import", data, "--data", data],
    ] {
        let refused = run(jangteo(words));
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert!(text(&refused.stderr).contains("in use by another process"), "{}", text(&refused.stderr));
    }
    let add = |password: &str| {
        let mut add = jangteo(&["admin", "add", "--email", "root@example.com", "--name", "Root", "--data", data]);
        add.env("JANGTEO_ADMIN_PASSWORD", password);
        run(add)
    };
    let short = add("short");
    assert_eq!(short.status.code(), Some(1));
    assert!(text(&short.stderr).contains("password: "), "{}", text(&short.stderr));
    let added = add("correct horse battery");
    assert!(added.status.success(), "{}", text(&added.stderr));
    let again = add("correct horse battery");
    assert_eq!(again.status.code(), Some(1));
    for output in [short, added, again] {
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(!said.contains("root@example.com") && !said.contains("correct horse"), "{said}");
    }
    let audit = run(jangteo(&["audit", "--json", "--data", data]));
    assert!(audit.status.success(), "{}", text(&audit.stderr));
    let checks: Vec<kit::audit::Check> = serde_json::from_slice(&audit.stdout).expect("json");
    assert!(checks.iter().any(|check| check.invariant == "I1"));
}

#[test]
fn a_broken_invariant_is_exit_code_1() {
    let dir = tempfile::tempdir().expect("folder");
    let data = dir.path().to_str().expect("path");
    let mut serving = Serving::start(dir.path(), &[]);
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended(), Some(0));
    assert!(run(jangteo(&["audit", "--data", data])).status.success());
    let tamper = "INSERT INTO transfer (id, cause, cause_id, actor_id, request_id, created_at_ms)
                  VALUES (x'00000000000000000000000000000001', 'credit', x'00000000000000000000000000000001',
                          x'00000000000000000000000000000001', 'r', 0)";
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        use db::sea_orm::ConnectionTrait as _;
        let source = db::Source::Sqlite { dir: dir.path().to_owned() };
        let db = db::Db::open(&source, "payment", &db::Settings::default()).await.expect("database");
        let txn = db.begin().await.expect("begin");
        txn.execute_unprepared(tamper).await.expect("tampered");
        db.commit(txn).await.expect("commit");
        db.close().await.expect("closed");
    });
    let audit = run(jangteo(&["audit", "--data", data]));
    assert_eq!(audit.status.code(), Some(1));
    let said = text(&audit.stdout);
    assert!(said.lines().any(|line| line.starts_with("I5") && line.contains("BROKEN")), "{said}");
}

#[test]
fn a_demo_is_filled_into_a_new_market_only() {
    let dir = tempfile::tempdir().expect("folder");
    let demo = |data: &Path| {
        let mut serving = Serving::start_with(data, &[]);
        let items = get(data, "/v1/items", "");
        serving.signal(Signal::TERM);
        assert_eq!(serving.ended(), Some(0));
        (items, serving.banner())
    };
    let (items, banner) = demo(&dir.path().join("new"));
    assert!(items.contains("store_name") && banner.contains("Demo accounts"), "{banner}");
    let (_, banner) = demo(&dir.path().join("new"));
    assert!(banner.contains("Demo accounts"), "{banner}");

    // A market of somebody's own must not get an administrator whose password is public.
    let own = dir.path().join("own");
    let mut serving = Serving::start(&own, &[]);
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended(), Some(0));
    let (items, banner) = demo(&own);
    assert!(items.ends_with("{\"items\":[]}") && !banner.contains("Demo accounts"), "{items} {banner}");
}

#[test]
fn a_taken_port_is_said_and_leaves_no_address() {
    let dir = tempfile::tempdir().expect("folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = taken.local_addr().expect("address").to_string();
    let mut command = jangteo(&["serve", "--no-demo", "--listen", &address, "--data"]);
    command.arg(dir.path());
    let refused = run(command);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&format!("cannot listen on {address}")), "{}", text(&refused.stderr));
    assert!(!dir.path().join("address").exists());
}

#[test]
fn every_line_of_a_json_log_is_an_object_and_says_which_request() {
    let dir = tempfile::tempdir().expect("folder");
    let config = dir.path().join("log.toml");
    std::fs::write(&config, "[log]\nformat = \"json\"\nfilter = \"info,gateway=debug\"\n").expect("written");
    let mut serving = Serving::start(dir.path(), &["--config", config.to_str().expect("path")]);
    get(dir.path(), "/v1/items", "x-request-id: find-me-again\r\n");
    serving.signal(Signal::TERM);
    assert_eq!(serving.ended(), Some(0));
    let log = serving.log();
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    assert!(log.lines().any(|line| line.contains("find-me-again") && line.contains("answered")), "{log}");
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let dir = tempfile::tempdir().expect("folder");
    // A free port; nobody else takes it in the moment between.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").to_string();
    let _serving = Serving::start(dir.path(), &["--metrics", &port]);
    get(dir.path(), "/v1/items", "");
    let mut stream = TcpStream::connect(&port).expect("connected");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("answered");
    assert!(page.contains("http_requests_total"), "{page}");
    assert!(!get(dir.path(), "/metrics", "").starts_with("HTTP/1.1 200"), "not on the public listener");
}

#[test]
fn the_configuration_is_checked_and_printed_without_secrets() {
    let dir = tempfile::tempdir().expect("folder");
    let config = dir.path().join("market.toml");
    std::fs::write(&config, "[order]\nhold_minutes = 3\nhold_minuets = 4\n").expect("written");
    let file = config.to_str().expect("path");
    for words in [&["config", "check", "--config", file][..], &["serve", "--config", file, "--data", file]] {
        let refused = run(jangteo(words));
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("order.hold_minuets"), "{}", text(&refused.stderr));
    }
    std::fs::write(&config, "[order]\nhold_minutes = 3\n").expect("written");
    assert!(run(jangteo(&["config", "check", "--config", file])).status.success());
    let mut unknown = jangteo(&["config", "check"]);
    unknown.env("JANGTEO_ORDER_HOLD", "1");
    assert!(text(&run(unknown).stderr).contains("JANGTEO_ORDER_HOLD"));
    let mut print = jangteo(&["config", "print", "--config", file]);
    print.env("JANGTEO_DATABASE_URL", "postgres://kim:hunter2@host/x").env("JANGTEO_ORDER_BATCH_MAX", "7");
    let printed = text(&run(print).stdout);
    assert!(printed.contains("hold_minutes = 3") && printed.contains("batch_max = 7"), "{printed}");
    assert!(printed.contains("[secret]") && !printed.contains("hunter2"), "{printed}");
    let missing = run(jangteo(&["config", "check", "--config", "/nonexistent/x.toml"]));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn the_api_document_is_openapi_3_1() {
    let output = run(jangteo(&["openapi"]));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(document["paths"].as_object().is_some_and(|paths| paths.len() > 10));
}
