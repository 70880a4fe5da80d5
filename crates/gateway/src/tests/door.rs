//! What the edge does to every request: problems, languages, headers, limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, StatusCode};
use kit::{Code, Role};

use super::fake::{AGAIN, BROKEN, PANIC, SLOW, SOLD_OUT, World, order};
use crate::settings::Rate;

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("request")
}

#[tokio::test]
async fn an_order_is_created_with_its_place() {
    let world = World::new();
    let reply = world.place(order(100), &[]).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    let id = reply.json()["order_id"].as_str().expect("id").to_owned();
    assert_eq!(reply.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(reply.header("idempotent-replayed"), "");
    let again = world.place(order(AGAIN), &[]).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::CREATED, "true"));
}

#[tokio::test]
async fn every_sort_of_bad_request_is_a_problem() {
    let world = World::new();
    let big = format!("{{\"lines\":\"{}\"}}", "x".repeat(70_000));
    let unfinished = Body::from_stream(futures_util::stream::iter([Ok("{\"lines\""), Err("gone")]));
    for (body, headers, code) in [
        (Body::from("{"), vec![], "bad_json"),
        (Body::from(&b"\xff\xfe"[..]), vec![], "bad_json"),
        (Body::empty(), vec![], "bad_json"),
        (unfinished, vec![], "bad_json"),
        (Body::from(order(5).replace("\"quantity\":1", "\"quantity\":100")), vec![], "invalid_fields"),
        (Body::from(order(5).replace("\"quantity\":1", "\"quantity\":0")), vec![], "invalid_fields"),
        (Body::from(order(5).replace("\"quantity\":1", "\"quantity\":1,\"price\":1")), vec![], "bad_json"),
        (Body::from(big.clone()), vec![], "body_too_large"),
        (Body::from_stream(futures_util::stream::iter([Ok::<_, &str>(big)])), vec![], "body_too_large"),
        (Body::from(order(5)), vec![("content-type", "text/plain")], "unsupported_media_type"),
        (Body::from(order(5)), vec![("content-type", "")], "unsupported_media_type"),
        (Body::from(order(5)), vec![("idempotency-key", "")], "idempotency_key_missing"),
        (Body::from(order(5)), vec![("idempotency-key", "a b")], "idempotency_key_missing"),
        (Body::from(order(5)), vec![("authorization", "")], "unauthenticated"),
        (Body::from(order(SOLD_OUT)), vec![], "sold_out"),
        (Body::from(order(BROKEN)), vec![], "internal"),
        (Body::from(order(PANIC)), vec![], "internal"),
    ] {
        let reply = world.place(body, &headers).await;
        assert_eq!(reply.problem(), code, "{reply:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::new();
    for (request, status, code) in [
        (get("/nowhere"), 404, "not_found"),
        (get("/v1/items/not-an-id"), 404, "bad_path"),
        (get("/v1/items/%ff%fe"), 404, "bad_path"),
        (get("/v1/items?size=1000"), 400, "bad_query"),
        (get("/v1/items?colour=red"), 400, "bad_query"),
        (get("/v1/availability"), 400, "bad_query"),
        (get("/v1/availability?options=a,b"), 400, "bad_query"),
        (get(&format!("/v1/availability?options={}", vec!["a"; 101].join(","))), 400, "bad_query"),
        (Request::patch("/v1/items").body(Body::empty()).expect("request"), 405, "method_not_allowed"),
    ] {
        let (path, reply) = (request.uri().clone(), world.send(request).await);
        assert_eq!((reply.status.as_u16(), &*reply.problem()), (status, code), "{path}");
        assert_eq!(reply.header("allow").is_empty(), status != 405, "{path} {reply:?}");
    }
}

#[tokio::test]
async fn repeated_headers_are_refused() {
    let world = World::new();
    let request = Request::post("/v1/orders")
        .header("authorization", format!("Bearer {}", world.token(Role::Buyer)))
        .header("content-type", "application/json")
        .header("idempotency-key", "one")
        .header("idempotency-key", "two");
    let reply = world.send(request.body(Body::from(order(5))).expect("request")).await;
    assert_eq!(reply.problem(), "bad_header");
    let change = Request::put("/v1/items/0190b5a0-0000-7000-8000-000000000000")
        .header("authorization", format!("Bearer {}", world.token(Role::Seller)))
        .header("if-match", "three");
    assert_eq!(world.send(change.body(Body::empty()).expect("request")).await.problem(), "bad_header");
}

#[tokio::test]
async fn problems_speak_korean_unless_english_is_asked_for() {
    let world = World::new();
    for (accept, tag, title) in [
        ("", "ko", Code::SoldOut.title(kit::Lang::Ko)),
        ("fr", "ko", Code::SoldOut.title(kit::Lang::Ko)),
        ("en-US,en;q=0.9,ko;q=0.1", "en", Code::SoldOut.title(kit::Lang::En)),
    ] {
        let reply = world.place(order(SOLD_OUT), &[("accept-language", accept)]).await;
        assert_eq!((reply.header("content-language"), reply.json()["title"].as_str()), (tag, Some(title)));
    }
}

#[tokio::test]
async fn every_answer_has_its_id_and_its_guards() {
    let world = World::new();
    for path in ["/", "/docs", "/v1/items", "/nowhere", "/healthz", "/dev/mail"] {
        let mut request = get(path);
        request.headers_mut().insert("x-request-id", "my-id.1".parse().expect("value"));
        let reply = world.send(request).await;
        assert_eq!(reply.header("x-request-id"), "my-id.1", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{path}");
    }
}

#[tokio::test]
async fn a_late_answer_and_a_slow_body_are_told_apart() {
    let world = World::with(|settings| settings.request_timeout_ms = 100);
    let late = world.place(order(SLOW), &[]).await;
    assert_eq!((late.status.as_u16(), &*late.problem()), (503, "deadline_exceeded"));
    assert_eq!(late.header("retry-after"), "1");
    let endless = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let slow = world.place(endless, &[]).await;
    assert_eq!((slow.status.as_u16(), &*slow.problem()), (408, "request_timeout"));
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once() {
    let world = Arc::new(World::with(|settings| settings.in_flight_max = 1));
    let running = {
        let world = world.clone();
        tokio::spawn(async move { world.place(order(SLOW), &[]).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = world.send(get("/v1/items")).await;
    assert_eq!((refused.status.as_u16(), &*refused.problem()), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(running.await.expect("task").status, StatusCode::CREATED);
    assert_eq!(world.send(get("/v1/items")).await.status, StatusCode::OK, "the place was given back");
}

#[tokio::test]
async fn an_address_that_asks_too_often_waits() {
    let world = World::with(|settings| {
        settings.rate_limits = true;
        settings.rates.address = Rate { burst: 2, per_minute: 1 };
    });
    let from = |last: u8| {
        let mut request = get("/v1/items");
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([10, 0, 0, last], 1))));
        request
    };
    let first = world.send(from(1)).await;
    assert_eq!(first.header("ratelimit-policy"), "\"address\";q=2;w=120");
    assert_eq!(first.header("ratelimit"), "\"address\";r=1;t=60");
    assert_eq!(world.send(from(1)).await.status, StatusCode::OK);
    let refused = world.send(from(1)).await;
    assert_eq!((refused.status.as_u16(), &*refused.problem()), (429, "rate_limited"));
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u32>().expect("seconds")));
    assert_eq!(world.send(from(2)).await.status, StatusCode::OK, "another address");
}

#[tokio::test]
async fn members_and_doors_have_limits_of_their_own() {
    let world = World::with(|settings| {
        settings.rate_limits = true;
        settings.rates.member = Rate { burst: 1, per_minute: 1 };
        settings.rates.sign_in = Rate { burst: 1, per_minute: 1 };
    });
    let token = world.token(Role::Buyer);
    let wallet = || {
        let request = Request::get("/v1/wallet").header("authorization", format!("Bearer {token}"));
        request.body(Body::empty()).expect("request")
    };
    assert_eq!(world.send(wallet()).await.status, StatusCode::OK);
    assert_eq!(world.send(wallet()).await.problem(), "rate_limited");
    let other = world.place(order(100), &[]).await;
    assert_eq!(other.status, StatusCode::CREATED, "another member: {other:?}");
    assert!(other.header("ratelimit").starts_with("\"member\";r=0"), "{other:?}");
    let login = || {
        let request = Request::post("/v1/sessions").header("content-type", "application/json");
        request.body(Body::from(r#"{"email":"a@b.example","password":"12345678"}"#)).expect("request")
    };
    assert_eq!(world.send(login()).await.problem(), "bad_credentials");
    assert_eq!(world.send(login()).await.problem(), "rate_limited");
}

#[tokio::test]
async fn forwarded_addresses_are_believed_only_behind_a_proxy() {
    for (trust, seen) in [(false, "127.0.0.1"), (true, "10.9.8.7")] {
        let world = World::with(|settings| settings.trust_forwarded = trust);
        let request = Request::post("/v1/sessions")
            .header("content-type", "application/json")
            .header("x-forwarded-for", "6.6.6.6, 10.9.8.7");
        let body = r#"{"email":"a@b.example","password":"12345678"}"#;
        world.send(request.body(Body::from(body)).expect("request")).await;
        assert_eq!(world.fake.addresses.lock()[..], [seen]);
    }
}

#[tokio::test]
async fn an_item_is_shown_without_its_stock_when_it_must_be() {
    let world = World::new();
    world.fake.availability.lock().push(super::fake::available(1, 7));
    let path = "/v1/items/0190b5a0-0000-7000-8000-000000000000";
    let item = world.send(get(path)).await.json();
    assert_eq!((&item["options"][0]["available"], &item["options"][1]["available"]), (&7.into(), &().into()));
    assert!(item.get("degraded").is_none());
    *world.fake.order_down.lock() = true;
    let item = world.send(get(path)).await.json();
    assert_eq!(item["degraded"], serde_json::json!(["stock"]));
    assert!(item["options"][0]["available"].is_null());
}

#[tokio::test]
async fn pages_speak_both_languages_and_run_nothing() {
    let world = World::new();
    for path in ["/", "/docs", "/dev/mail"] {
        for (accept, tag) in [("ko", "ko"), ("en", "en")] {
            let mut request = get(path);
            request.headers_mut().insert("accept-language", accept.parse().expect("value"));
            let reply = world.send(request).await;
            let page = String::from_utf8(reply.body.to_vec()).expect("text");
            assert_eq!((reply.status, reply.header("content-language")), (StatusCode::OK, tag), "{path}");
            assert!(page.contains(&format!("<html lang=\"{tag}\">")), "{path}");
            assert!(!page.contains("<script") && !page.contains("<b>hi") && !page.contains(" style="), "{path}");
        }
    }
    let docs = String::from_utf8(world.send(get("/docs")).await.body.to_vec()).expect("text");
    for code in Code::ALL {
        assert!(docs.contains(&format!("id=\"problem-{code}\"")), "{code}");
        assert!(docs.contains(code.title(kit::Lang::Ko)), "{code}");
    }
}

#[tokio::test]
async fn readiness_is_what_it_was_told() {
    let world = World::new();
    assert_eq!(world.send(get("/readyz")).await.problem(), "unavailable");
    world.gateway.set_ready(true);
    assert_eq!(world.send(get("/readyz")).await.status, StatusCode::OK);
    assert_eq!(world.send(get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn rehearsals_and_the_mailbox_are_off_unless_switched_on() {
    let world = World::with(|settings| (settings.rehearsal, settings.mailbox) = (false, false));
    for (method, path) in [
        (Method::POST, "/v1/admin/rehearsal/buyers"),
        (Method::POST, "/v1/admin/rehearsal/noop"),
        (Method::GET, "/dev/mail"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("request");
        assert_eq!(world.send(request).await.problem(), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_rehearsed_order_passes_the_same_door() {
    let world = World::new();
    let ask = |role, key: Option<&str>, body: String| {
        let mut request = Request::post("/v1/admin/rehearsal/noop")
            .header("authorization", format!("Bearer {}", world.token(role)))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(Body::from(body)).expect("request")
    };
    let reply = world.send(ask(Role::Buyer, Some("k"), order(100))).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    assert_eq!(reply.json()["lines"][0]["quantity"], 1);
    assert_eq!(world.send(ask(Role::Buyer, None, order(100))).await.problem(), "idempotency_key_missing");
    assert_eq!(world.send(ask(Role::Admin, Some("k"), order(100))).await.problem(), "forbidden");
    assert_eq!(world.send(ask(Role::Buyer, Some("k"), "{}".into())).await.problem(), "bad_json");
}

#[tokio::test]
async fn a_crowd_is_made_with_money() {
    let world = World::new();
    let ask = |body: &'static str| {
        let request = Request::post("/v1/admin/rehearsal/buyers")
            .header("authorization", format!("Bearer {}", world.token(Role::Admin)))
            .header("content-type", "application/json");
        request.body(Body::from(body)).expect("request")
    };
    let crowd = world.send(ask(r#"{"count":70,"credit":1000}"#)).await;
    assert_eq!(crowd.json()["buyers"].as_array().map(Vec::len), Some(70), "{crowd:?}");
    assert_eq!(world.send(ask(r#"{"count":1001,"credit":1000}"#)).await.problem(), "invalid_fields");
}
