//! The program as people run it: it starts, says where it is, keeps its folder to itself, and goes quietly.

use std::process::Command;

use http::Method;
use serde_json::json;

use crate::client::Lost;
use crate::server::{ADMIN_EMAIL, ADMIN_PASSWORD, Launch};

#[tokio::test]
async fn a_market_is_served_stopped_killed_and_served_again() {
    let launch = Launch::new("[rehearsal]\nenabled = true\n");
    launch.add_admin();
    let mut server = launch.serve(&[]).await;
    assert!(server.is_alive().await);
    server.http().ask(Method::GET, "/readyz").send().await.expect(200);
    let log_in = json!({"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD});
    let tokens: contract::member::Tokens =
        server.http().ask(Method::POST, "/v1/sessions").json(&log_in).send().await.expect(201).get();
    launch.audit();
    let (health, base) = (server.http().ask(Method::GET, "/healthz"), server.http().base().to_owned());
    server.stop().await;
    assert_eq!(health.try_send().await.err(), Some(Lost), "nobody is at {base} any more");
    assert!(!launch.data().join("address").exists());

    let mut server = launch.serve(&[]).await;
    server.kill();
    let server = launch.serve(&[]).await;
    let me = server.http().ask(Method::GET, "/v1/me").token(tokens.access_token.expose());
    assert_eq!(me.send().await.expect(200).value()["role"], "admin");
    server.stop().await;
    launch.audit();
}

#[tokio::test]
async fn a_folder_serves_one_market_at_a_time() {
    let launch = Launch::new("");
    let server = launch.serve(&[]).await;
    let mut second = Command::new(env!("CARGO_BIN_EXE_jangteo"));
    second.args(["serve", "--no-demo", "--listen", "127.0.0.1:0", "--data"]).arg(launch.data());
    let refused = second.output().expect("the program runs");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("in use by another process"), "{said}");
    server.stop().await;
}

#[test]
fn an_audit_of_nothing_fails() {
    let launch = Launch::new("");
    let mut audit = Command::new(env!("CARGO_BIN_EXE_jangteo"));
    let done = audit.args(["audit", "--data"]).arg(launch.data()).output().expect("the program runs");
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("no market to audit"));
}
