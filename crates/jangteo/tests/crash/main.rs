//! Crash proof: the real program is killed under load, at every named point of the intake and at random moments, and
//! its disk is filled up. Afterwards what it said is compared with what it has (I3, I4, I9), and its audit must find
//! nothing (I1, I2, I10, I12 and the rest).
//!
//! Runs on SQLite and, when `JANGTEO_TEST_POSTGRES` holds the URL of a server, on PostgreSQL.

#[expect(dead_code, reason = "shared with the system tests, which use more of it")]
#[path = "../it/client.rs"]
mod client;
mod crowd;
mod disk;
#[path = "../it/server.rs"]
mod server;

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use db::sea_orm::ConnectionTrait as _;
use kit::{Ids as _, SystemIds};

use crate::crowd::Crowd;
use crate::server::Launch;

/// Tokens that outlive the test, holds that do not, and no limit that a crowd of one machine would meet.
pub const CONFIG: &str = "
[limits]
rate_limits = false
[member]
access_minutes = 1440
[order]
hold_minutes = 0.05
[rehearsal]
enabled = true
[database]
connections = 4
";

/// How often a point is passed before it kills.
const PASSED: [u32; 2] = [7, 40];
/// Kills at random moments.
const MOMENTS: usize = 12;

#[tokio::test]
async fn killed_at_every_point_nothing_is_lost_on_sqlite() {
    killed_at_every_point(Launch::new(CONFIG)).await;
}

#[tokio::test]
async fn killed_at_every_point_nothing_is_lost_on_postgres() {
    if let Some(launch) = on_postgres() {
        let database = launch.database.clone();
        killed_at_every_point(launch).await;
        drop_schemas(database).await;
    }
}

#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_on_sqlite() {
    killed_at_any_moment(Launch::new(CONFIG)).await;
}

#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_on_postgres() {
    if let Some(launch) = on_postgres() {
        let database = launch.database.clone();
        killed_at_any_moment(launch).await;
        drop_schemas(database).await;
    }
}

async fn killed_at_every_point(launch: Launch) {
    launch.add_admin();
    let server = launch.serve(&[]).await;
    let mut crowd = Crowd::gather(server.http()).await;
    server.stop().await;
    for point in order::CRASH_POINTS {
        for passed in PASSED {
            let points = format!("{point}={passed}*off->return");
            eprintln!("killed at {points}");
            let mut server = launch.serve(&[("FAILPOINTS", &points)]).await;
            let http = server.http().clone();
            let (status, ()) = tokio::join!(server.ended(), crowd.press_until_lost(&http));
            let killed = status.signal() == Some(rustix::process::Signal::KILL.as_raw());
            assert!(killed, "{points} did not kill: {status}: {}", launch.log());
            let server = launch.serve(&[]).await;
            crowd.compare(server.http()).await;
            server.stop().await;
        }
    }
    finish(launch, crowd).await;
}

async fn killed_at_any_moment(launch: Launch) {
    launch.add_admin();
    let mut server = launch.serve(&[]).await;
    let mut crowd = Crowd::gather(server.http()).await;
    for _ in 0..MOMENTS {
        let moment = Duration::from_millis(u64::try_from(SystemIds.next().as_u128() % 500).expect("small"));
        eprintln!("killed after {moment:?}");
        let http = server.http().clone();
        let kill = async {
            tokio::time::sleep(moment).await;
            server.kill();
        };
        tokio::join!(kill, crowd.press_until_lost(&http));
        server = launch.serve(&[]).await;
        crowd.compare(server.http()).await;
    }
    server.kill();
    finish(launch, crowd).await;
}

/// Once more, with all that was ever said.
async fn finish(launch: Launch, mut crowd: Crowd) {
    let server = launch.serve(&[]).await;
    crowd.compare_everything(server.http()).await;
    // Also beside the running market.
    launch.audit();
    server.stop().await;
    launch.audit();
}

fn on_postgres() -> Option<Launch> {
    let url = std::env::var("JANGTEO_TEST_POSTGRES").ok()?;
    let prefix = format!("t{}", SystemIds.next().simple());
    let mut launch = Launch::new(CONFIG);
    launch.database = Some((url, prefix));
    Some(launch)
}

async fn drop_schemas(database: Option<(String, String)>) {
    let (url, prefix) = database.expect("on PostgreSQL");
    let source = db::Source::Postgres { url, replica: None, prefix: prefix.clone() };
    let db = db::Db::open(&source, "order", &db::Settings::default()).await.expect("database");
    for service in ["member", "catalog", "order", "payment"] {
        let drop = format!("DROP SCHEMA \"{prefix}_{service}\" CASCADE");
        db.read().execute_unprepared(&drop).await.expect("dropped");
    }
    db.close().await.expect("closed");
}
