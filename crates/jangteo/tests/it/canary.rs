//! Personal data and secrets, planted in everything that takes input and searched for in everything that keeps or says
//! something: database files, write-ahead logs, rows, logs at their most talkative, metrics (I14, I15).

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use contract::member::Tokens;
use db::sea_orm::ConnectionTrait as _;
use db::{Db, Source};
use http::Method;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::app::{App, Column, SERVICES, files, tables};
use crate::client::{Ask, Http};
use crate::server::Launch;

every_bare_column!(nothing_personal_is_kept_in_the_clear);

const EMAIL: &str = "canary-7f3a@example.com";
const NAME: &str = "Canarina Gelbvogel";
const PHONE: &str = "010-8642-9753";
const PASSWORD: &str = "canary password 4711";
const DEVICE: &str = "CanaryBrowser/47.11";

/// What must not be found, in the forms in which it might be.
fn needles() -> Vec<String> {
    let plain = ["canary-7f3a", "Gelbvogel", "8642-9753", "01086429753", "password 4711", "CanaryBrowser"];
    let mut needles: Vec<String> = plain.map(str::to_owned).to_vec();
    needles.extend(plain.map(hex));
    needles
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_clean(place: &str, bytes: &[u8], needles: &[String]) {
    assert!(!bytes.is_empty(), "{place} is empty: nothing was searched");
    let lower = bytes.to_ascii_lowercase();
    for needle in needles {
        let needle = needle.to_ascii_lowercase();
        if let Some(at) = lower.windows(needle.len()).position(|window| window == needle.as_bytes()) {
            let around = &bytes[at.saturating_sub(200)..(at + 200).min(bytes.len())];
            panic!("{needle} was found in {place}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

/// Lives a life with the canary in everything it says. Gives the secrets it was handed.
async fn live(http: &Http, mailed_token: impl AsyncFn() -> String) -> Vec<String> {
    let post = |path: &str, body: &Value| http.ask(Method::POST, path).json(body).header("user-agent", DEVICE);
    let person = json!({"email": EMAIL, "password": PASSWORD, "name": NAME, "phone": PHONE});
    for spoilt in [
        json!({"email": EMAIL, "password": PASSWORD, "name": NAME, "phone": format!("{PHONE}-canary-7f3a")}),
        json!({"email": format!("{EMAIL} {NAME}"), "password": PASSWORD, "name": NAME, "phone": PHONE}),
        json!({"email": EMAIL, "password": "canary-7f3a", "name": NAME, "phone": PHONE}),
        json!({"email": [EMAIL], "password": PASSWORD, "name": NAME, "phone": PHONE}),
    ] {
        let refused = post("/v1/buyers", &spoilt).send().await;
        assert!(matches!(refused.status, 400 | 422), "{refused:?}");
        assert_clean("an error", &refused.body, &needles());
    }
    let torn = http.ask(Method::POST, "/v1/buyers").raw("application/json", person.to_string().replace(':', "="));
    torn.send().await.refused(400, "bad_json");
    post("/v1/sessions", &json!({"email": EMAIL, "password": PASSWORD})).send().await.expect(401);
    post("/v1/buyers", &person).send().await.expect(202);
    post("/v1/verification/resend", &json!({"email": EMAIL})).send().await.expect(202);
    let mut secrets = vec![mailed_token().await];
    let taken = json!({"email": "other@example.com", "password": "another password", "name": "x", "phone": PHONE});
    post("/v1/buyers", &taken).send().await.refused(422, "invalid_fields");
    let again = json!({"email": EMAIL, "password": PASSWORD, "name": NAME, "phone": "010-1111-2222"});
    post("/v1/buyers", &again).send().await.expect(202);
    http.ask(Method::GET, &format!("/verify?token={}", secrets[0])).send().await.expect(200);
    post("/v1/verification", &json!({"token": secrets[0]})).send().await.expect(204);

    let log_in = json!({"email": EMAIL, "password": PASSWORD});
    let mut tokens: Tokens = post("/v1/sessions", &log_in).send().await.expect(201).get();
    secrets.push(tokens.refresh_token.expose().to_owned());
    let again = json!({"refresh_token": tokens.refresh_token.expose()});
    tokens = post("/v1/sessions/refresh", &again).send().await.expect(200).get();
    secrets.extend([tokens.refresh_token.expose().to_owned(), tokens.access_token.expose().to_owned()]);
    let signed_in = |ask: Ask| ask.token(tokens.access_token.expose());
    signed_in(http.ask(Method::GET, "/v1/me")).send().await.expect(200);
    signed_in(http.ask(Method::GET, "/v1/wallet")).send().await.expect(200);
    signed_in(post("/v1/stores", &json!({"name": NAME}))).send().await.expect(403);
    signed_in(post("/v1/orders", &json!({"lines": NAME}))).key("k").send().await.expect(400);
    http.ask(Method::GET, "/v1/items?sort=canary-7f3a").send().await.refused(400, "bad_query");
    http.ask(Method::GET, "/v1/items/canary-7f3a").send().await.refused(404, "bad_path");
    http.ask(Method::GET, "/canary-7f3a").send().await.refused(404, "not_found");
    let mangled = http.ask(Method::GET, "/v1/me").header(AUTHORIZATION.as_str(), "Bearer canary-7f3a");
    mangled.send().await.refused(401, "unauthenticated");
    signed_in(http.ask(Method::DELETE, "/v1/sessions")).send().await.expect(204);
    secrets
}

async fn nothing_personal_is_kept_in_the_clear(column: Column) {
    let app = App::start(&column).await;
    let secrets = live(app.http(), async || app.mailed_token(EMAIL, 2).await).await;
    app.settle().await;
    let needles = [needles(), secrets].concat();
    match app.source() {
        Source::Sqlite { dir } => assert_files_clean(&dir, &needles),
        source @ Source::Postgres { .. } => assert_clean("the rows", dump(&source).await.as_bytes(), &needles),
    }
    app.close().await;
}

/// Every row of every table, as text.
async fn dump(source: &Source) -> String {
    let mut dump = String::new();
    for service in SERVICES {
        let db = Db::open_read_only(source, service).await.expect("database");
        for table in tables(&db).await {
            let rows = db::statement(db.read(), format!("SELECT t::text FROM {table} t"), []);
            for row in db.read().query_all_raw(rows).await.expect("rows") {
                dump += &row.try_get_by_index::<String>(0).expect("text");
                dump.push('\n');
            }
        }
        db.close().await.expect("closed");
    }
    dump
}

/// Databases, write-ahead logs, whatever is there.
fn assert_files_clean(folder: &Path, needles: &[String]) {
    let mut searched = 0;
    for file in files(folder) {
        let bytes = std::fs::read(&file).expect("file");
        if !bytes.is_empty() {
            assert_clean(&file.display().to_string(), &bytes, needles);
            searched += 1;
        }
    }
    assert!(searched >= SERVICES.len(), "there is hardly anything in {}", folder.display());
}

/// The real program, so that its log has the lines of every thread.
#[tokio::test]
async fn the_program_keeps_what_is_personal_to_itself() {
    let launch = Launch::new("[limits]\nrate_limits = false\n");
    let port = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    let metrics = port.to_string();
    let server = launch.serve(&[("JANGTEO_LOG_FILTER", "trace"), ("JANGTEO_SERVER_METRICS", &metrics)]).await;
    let mailed = async || loop {
        let mails = server.http().ask(Method::GET, "/dev/mail").header("accept", "application/json").send().await;
        let mails = mails.expect(200).value();
        let texts = mails["items"].as_array().expect("items").iter().filter(|mail| mail["to"] == EMAIL);
        let texts: Vec<&str> = texts.map(|mail| mail["text"].as_str().expect("text")).collect();
        if let [newest, _] = texts[..] {
            let token = newest.split_once("token=").expect("a link").1;
            break token.split_whitespace().next().expect("a token").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let mut needles = needles();
    let secrets = live(server.http(), mailed).await;
    needles.extend(secrets);
    let counted = http::Request::get(format!("http://{metrics}/metrics")).body(Full::<Bytes>::default());
    let counted = Client::builder(TokioExecutor::new()).build_http().request(counted.expect("request")).await;
    let counted = counted.expect("metrics").into_body().collect().await.expect("metrics").to_bytes();
    let counted = String::from_utf8(counted.to_vec()).expect("text");
    assert!(counted.contains("http_requests_total"), "{counted}");
    assert_clean("the metrics", counted.as_bytes(), &needles);
    assert_files_clean(&launch.data(), &needles);
    server.stop().await;
    assert_files_clean(&launch.data(), &needles);
    let log = launch.log();
    for part in ["gateway::", "member::", "sqlx::"] {
        assert!(log.contains(part), "{part} says nothing: the log is not at its most talkative");
    }
    assert_clean("the log", log.as_bytes(), &needles);
}
