//! Bad input, at every endpoint, made from the good requests of the table and the OpenAPI document: whatever is sent,
//! the answer is a problem document with a code, never a 5xx, and nothing is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{App, Column};
use crate::client::{Ask, Reply};
use crate::route::{People, Route, Scene, Takes, routes};
use crate::spoil::{bad_texts, body_schema, replace_texts, spoil};

every_column!(
    bodies_that_are_no_json_are_refused,
    bodies_of_another_shape_are_refused,
    ids_that_are_none_are_not_found,
    queries_that_are_not_understood_are_refused,
    cursors_from_elsewhere_are_refused,
    keys_that_are_none_are_refused,
    texts_of_all_kinds_are_taken_or_refused,
);
every_bare_column!(bodies_that_do_not_end_are_refused);

/// Sends bad requests to one route and checks what must hold for each.
struct Prober<'a> {
    app: &'a App,
    people: &'a People,
    scene: &'a Scene,
    rows: BTreeMap<String, i64>,
    sent: usize,
}

impl<'a> Prober<'a> {
    async fn new(app: &'a App, people: &'a People, scene: &'a Scene) -> Self {
        app.settle().await;
        Self { app, people, scene, rows: app.rows().await, sent: 0 }
    }

    fn good(&self, route: &Route) -> Ask {
        self.scene.request(self.app, self.people.allowed(route), route)
    }

    /// Refused with one of `codes`.
    async fn refused(&mut self, ask: Ask, codes: &[&str], what: &str) -> Reply {
        let reply = ask.send().await;
        self.sent += 1;
        let code = reply.code();
        assert!(codes.contains(&code.as_str()), "{what}: {reply:?} is none of {codes:?}");
        reply
    }

    /// All that was sent left nothing behind.
    async fn nothing_stored(self) {
        assert!(self.sent > 0, "nothing was tried");
        assert_eq!(self.app.rows().await, self.rows);
    }
}

/// Routes that take a body.
fn with_body() -> Vec<Route> {
    let takes = |route: &Route| matches!(route.takes, Takes::Body(_) | Takes::KeyedBody(_));
    routes().into_iter().filter(takes).collect()
}

async fn bodies_that_are_no_json_are_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    for route in with_body() {
        let good = scene.body(app, &route).expect("a body").to_string();
        let deep = "[".repeat(20_000);
        for garbage in ["", " ", "{", "nonsense", "null", "[]", "7", "\"x\"", "{\"a\":}", "{'a':1}", "[{}]", &deep] {
            let ask = prober.good(&route).raw("application/json", garbage.to_owned());
            prober.refused(ask, &["bad_json"], garbage.get(..8.min(garbage.len())).unwrap_or_default()).await;
        }
        let not_text = prober.good(&route).raw("application/json", Bytes::from_static(b"{\"name\":\"\xff\xfe\"}"));
        prober.refused(not_text, &["bad_json"], "not UTF-8").await;
        for (what, bad) in [
            ("cut short", good[..good.len() - 1].to_owned()),
            ("something after it", format!("{good}x")),
            ("twice", format!("{good}{good}")),
            ("a lone surrogate", good.replacen(":\"", ":\"\\ud800", 1)),
        ] {
            let same = bad == good;
            let ask = prober.good(&route).raw("application/json", bad);
            if !same {
                prober.refused(ask, &["bad_json"], what).await;
            }
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data"] {
            let ask = prober.good(&route).raw(kind, good.clone());
            prober.refused(ask, &["unsupported_media_type"], kind).await;
        }
        let unsaid = prober.good(&route).without("content-type");
        prober.refused(unsaid, &["unsupported_media_type"], "no content type").await;
        let padded = format!("{good}{}", " ".repeat(65_536));
        let large = prober.good(&route).raw("application/json", padded);
        let reply = prober.refused(large, &["body_too_large"], "too large").await;
        assert_eq!(reply.value()["bytes_max"], 65_536);
    }
    prober.nothing_stored().await;
}

async fn bodies_of_another_shape_are_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    let document = serde_json::to_value(gateway::openapi()).expect("JSON");
    for route in with_body() {
        let good = scene.body(app, &route).expect("a body");
        let bad = spoil(&document, body_schema(&document, &route).as_ref(), &good);
        assert!(bad.len() > 5, "{} {}: hardly anything was spoilt", route.method, route.path);
        for (what, body) in bad {
            let ask = prober.good(&route).json(&body);
            let what = format!("{} {} {what}", route.method, route.path);
            let codes = ["bad_json", "invalid_fields", "amount_out_of_range", "currency_mismatch", "bad_credentials"];
            let reply = prober.refused(ask, &codes, &what).await;
            if reply.code() == "bad_json" || reply.code() == "invalid_fields" {
                assert!(!reply.errors().is_empty(), "{what}: no field is named in {reply:?}");
            }
        }
    }
    prober.nothing_stored().await;
}

async fn ids_that_are_none_are_not_found(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    let long = "9".repeat(2_000);
    for route in routes().into_iter().filter(|route| route.path.contains('{')) {
        let (before, after) =
            (route.path.split('{').next().expect("path"), route.path.split('}').nth(1).expect("path"));
        let actor = people.allowed(&route);
        let at = |id: &str| {
            let ask = actor.ask(route.method.clone(), &format!("{before}{id}{after}"));
            let ask = match scene.body(app, &route) {
                Some(body) => ask.json(&body),
                None => ask,
            };
            ask.key(&format!("k{}", app.number()))
        };
        let bad = ["x", "0", "-1", "null", "undefined", "%00", "%2e%2e", "%F0%9F%8D%8E", "'%20OR%201=1", "*", &long];
        for id in bad {
            prober.refused(at(id), &["bad_path", "not_found"], &format!("{} {} {id}", route.method, route.path)).await;
        }
        // Who is a member is not the payment service's business: an operator must know whom to credit.
        if route.path.starts_with("/v1/admin/members/") {
            continue;
        }
        // The attempt is stored before the order is asked for, also for an order that is not there.
        if route.path == "/v1/orders/{order_id}/payment" {
            continue;
        }
        let unknown = kit::Ids::next(&kit::SystemIds).to_string();
        for id in [&*unknown, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
            prober.refused(at(id), &["not_found"], &format!("{} {} {id}", route.method, route.path)).await;
        }
    }
    prober.nothing_stored().await;
}

async fn queries_that_are_not_understood_are_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    let document = serde_json::to_value(gateway::openapi()).expect("JSON");
    let mut seen = 0;
    for route in routes().into_iter().filter(|route| route.method == Method::GET) {
        let parameters = document["paths"][route.path]["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let parameters: Vec<Value> = parameters.into_iter().filter(|parameter| parameter["in"] == "query").collect();
        if parameters.is_empty() {
            continue;
        }
        seen += 1;
        let path = scene.fill(route.path);
        let mut bad = vec!["surprise=1".to_owned(), "size=1&size=2".to_owned()];
        for parameter in &parameters {
            let name = parameter["name"].as_str().expect("name");
            bad.extend(bad_texts(&document, name, &parameter["schema"]).iter().map(|text| format!("{name}={text}")));
        }
        for query in bad {
            let ask = people.allowed(&route).get(&format!("{path}?{query}"));
            let what = format!("{} {query}", route.path);
            prober.refused(ask, &["bad_query", "bad_cursor"], &what).await;
        }
    }
    assert!(seen >= 9, "{seen} lists were tried");
    prober.nothing_stored().await;
}

async fn cursors_from_elsewhere_are_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    let document = serde_json::to_value(gateway::openapi()).expect("JSON");
    let crafted = [
        json!(null),
        json!(true),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("\0"),
        json!([]),
        json!({}),
        json!([1]),
        json!([i64::MAX, "x"]),
        json!(["newest", "x"]),
        json!(["newest", []]),
        json!([[], []]),
        json!({"0": 1}),
        json!(["newest", {"id": 1}]),
    ];
    for route in routes().into_iter().filter(|route| route.method == Method::GET) {
        let parameters = document["paths"][route.path]["get"]["parameters"].to_string();
        if !parameters.contains("\"cursor\"") {
            continue;
        }
        for value in &crafted {
            let cursor = URL_SAFE_NO_PAD.encode(value.to_string());
            let ask = people.allowed(&route).get(&format!("{}?cursor={cursor}", scene.fill(route.path)));
            prober.refused(ask, &["bad_cursor"], &format!("{} {value}", route.path)).await;
        }
        // One that could have been given out, to be sure that bad ones are not refused for another reason.
        let page = people.allowed(&route).get(&format!("{}?size=1", scene.fill(route.path))).send().await.expect(200);
        if let Some(next) = page.value()["next"].as_str() {
            people.allowed(&route).get(&format!("{}?cursor={next}", scene.fill(route.path))).send().await.expect(200);
        }
    }
    prober.nothing_stored().await;
}

async fn keys_that_are_none_are_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let mut prober = Prober::new(app, &people, &scene).await;
    let long = "x".repeat(301);
    for route in routes() {
        let required = matches!(route.takes, Takes::Key | Takes::KeyedBody(_));
        let optional =
            matches!(route.path, "/v1/stores" | "/v1/stores/{store_id}/items") && route.method == Method::POST;
        if !required && !optional {
            continue;
        }
        for key in ["", " ", "a b", "열쇠", "a\tb", &long] {
            let ask = prober.good(&route).header("idempotency-key", key);
            prober.refused(ask, &["idempotency_key_missing"], &format!("{} {key:?}", route.path)).await;
        }
        let twice = prober.good(&route).key("a").and_header("idempotency-key", "b");
        prober.refused(twice, &["bad_header"], route.path).await;
        if required {
            let ask = prober.good(&route).without("idempotency-key");
            prober.refused(ask, &["idempotency_key_missing"], route.path).await;
        }
    }
    prober.nothing_stored().await;
}

/// Every text of every body, replaced by texts that have broken something somewhere before.
async fn texts_of_all_kinds_are_taken_or_refused(app: &App) {
    let people = People::gather(app).await;
    let scene = Scene::set(app, &people).await;
    let texts = [
        "\0",
        "a\0b",
        "\u{feff}",
        "\u{202e}abc",
        "👩‍👩‍👧‍👦",
        "'; DROP TABLE orders; --",
        "${jndi:ldap://x}",
        "\\",
        "\"",
        "%s%n",
        "<script>alert(1)</script>",
        "\r\nset-cookie: a=b",
        "../../../etc/passwd",
        "null",
        "NaN",
        "ﷺ",
        "Z̡̢͕̀a̧l̷g̡o̴",
    ];
    for route in with_body() {
        let good = scene.body(app, &route).expect("a body");
        // Each of these hashes a password, which is slow by design.
        let slow = ["/v1/buyers", "/v1/sellers", "/v1/sessions"].contains(&route.path);
        for text in &texts[..if slow { 4 } else { texts.len() }] {
            let mut bodies = Vec::new();
            replace_texts(&good, text, &mut bodies);
            let asks = bodies.into_iter().map(async |body| {
                let ask = scene.request(app, people.allowed(&route), &route).json(&body);
                // The client fails at a 500, and at a refusal that is no problem document.
                let reply = ask.send().await;
                assert!(reply.status < 500, "{body}: {reply:?}");
                let stored = reply.status < 300;
                assert!(!stored || !text.contains('\0'), "NUL was taken, which PostgreSQL cannot store: {body}");
            });
            futures_util::future::join_all(asks).await;
        }
    }
    app.settle().await;
}

async fn bodies_that_do_not_end_are_refused(column: Column) {
    let app = App::with(&column, |config| config.limits.request_seconds = 0.5).await;
    let people = People::gather(&app).await;
    let scene = Scene::set(&app, &people).await;
    let prober = Prober::new(&app, &people, &scene).await;
    let (app_ref, scene_ref, people_ref) = (&app, &scene, &people);
    let probes = with_body().into_iter().map(|route| async move {
        let body = scene_ref.body(app_ref, &route).expect("a body").to_string();
        let path = scene_ref.fill(route.path);
        let token = people_ref.allowed(&route).token().to_owned();
        let head = |length: &str| {
            format!(
                "{} {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\nidempotency-key: k\r\n\
                 content-type: application/json\r\n{length}\r\n\r\n",
                route.method
            )
        };
        let head = |length: &str| match token.is_empty() {
            true => head(length).replace("authorization: Bearer \r\n", ""),
            false => head(length),
        };
        let announced = head(&format!("content-length: {}", body.len() + 1));
        let chunked = head("transfer-encoding: chunked");
        // Announced and never sent: told so in time.
        let waiting = raw(app_ref, &format!("{announced}{body}"), Ending::Wait).await;
        assert!(waiting.starts_with("HTTP/1.1 408") && waiting.contains("request_timeout"), "{path}: {waiting}");
        // Hung up in the middle: closed, or told so.
        let hung_up = raw(app_ref, &format!("{announced}{body}"), Ending::HangUp).await;
        assert!(hung_up.is_empty() || hung_up.starts_with("HTTP/1.1 400"), "{path}: {hung_up}");
        let broken = raw(app_ref, &format!("{chunked}zz\r\n{body}\r\n"), Ending::HangUp).await;
        assert!(broken.is_empty() || broken.starts_with("HTTP/1.1 400"), "{path}: {broken}");
        let chunk = format!("{:x}\r\n{}\r\n", 70_000, " ".repeat(70_000));
        let large = raw(app_ref, &format!("{chunked}{chunk}0\r\n\r\n"), Ending::Wait).await;
        assert!(large.starts_with("HTTP/1.1 413") && large.contains("body_too_large"), "{path}: {large}");
    });
    futures_util::future::join_all(probes).await;
    let form = "POST /verify HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                content-length: 100\r\n\r\ntoken=x";
    let waiting = raw(&app, form, Ending::Wait).await;
    assert!(waiting.is_empty() || waiting.starts_with("HTTP/1.1 408"), "{waiting}");
    let Prober { rows, .. } = prober;
    assert_eq!(app.rows().await, rows);
    app.close().await;
}

/// What a client does after it sent what it sends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Wait,
    HangUp,
}

/// Sends bytes as they are and reads until the answer is there or the connection ends.
async fn raw(app: &App, bytes: &str, ending: Ending) -> String {
    let mut stream = TcpStream::connect(app.market().address()).await.expect("connected");
    // The server may have answered and closed before all was written.
    let _ = stream.write_all(bytes.as_bytes()).await;
    if ending == Ending::HangUp {
        let _ = stream.shutdown().await;
    }
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await.expect("an end");
        match read {
            Ok(0) | Err(_) => break,
            Ok(n) => text.extend_from_slice(&buffer[..n]),
        }
        let so_far = String::from_utf8_lossy(&text);
        let length = so_far.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if let (Some((_, body)), Some(length)) = (so_far.split_once("\r\n\r\n"), length)
            && body.len() >= length
        {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
