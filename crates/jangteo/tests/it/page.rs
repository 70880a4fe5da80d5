//! What is not the API itself: landing page, reference, mailbox, health; and what is true of every answer.

use http::Method;
use serde_json::json;

use crate::app::{App, Column};

every_column!(
    pages_are_there_in_both_languages,
    problems_speak_korean_and_english,
    every_request_has_an_id,
    the_document_is_served,
    what_is_not_there_is_a_problem,
);
every_bare_column!(readiness_follows_the_market, rehearsal_doors_are_shut_unless_opened);

async fn pages_are_there_in_both_languages(app: &App) {
    for path in ["/", "/docs", "/dev/mail"] {
        let mut texts = Vec::new();
        for lang in ["ko", "en"] {
            let page = app.anon().get(path).header("accept-language", lang).send().await.expect(200);
            assert_eq!(page.header("content-language"), Some(lang));
            assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
            let policy = page.header("content-security-policy").expect("policy");
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            let text = String::from_utf8(page.body.to_vec()).expect("text");
            assert!(!text.contains("<script"), "{path} runs a script");
            texts.push(text);
        }
        assert_ne!(texts[0], texts[1], "{path}");
    }
}

async fn problems_speak_korean_and_english(app: &App) {
    let buyer = app.buyer().await;
    for (header, title, detail) in [
        ("ko-KR,ko;q=0.9", "올바르지 않은 항목이 있습니다.", "/lines/0/quantity: 99 이하여야 합니다."),
        ("en-GB,ko;q=0.5", "Some fields are not valid.", "/lines/0/quantity: greater than 99"),
        ("fr", "올바르지 않은 항목이 있습니다.", "/lines/0/quantity: 99 이하여야 합니다."),
    ] {
        let order = buyer.order("k", &[crate::actor::Line::of(kit::id::OptionId(buyer.id.0), 100)], 1);
        let problem = order.header("accept-language", header).send().await.refused(422, "invalid_fields");
        let value = problem.value();
        assert_eq!((&value["title"], &value["detail"]), (&json!(title), &json!(detail)), "{header}");
        assert_eq!(problem.header("vary"), Some("accept-language"));
    }
}

async fn every_request_has_an_id(app: &App) {
    let given = app.anon().get("/v1/items").header("x-request-id", "my-request.1").send().await.expect(200);
    assert_eq!(given.header("x-request-id"), Some("my-request.1"));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = app.anon().get("/v1/me").header("traceparent", trace).send().await.refused(401, "unauthenticated");
    assert_eq!(traced.value()["request_id"], "0af7651916cd43dd8448eb211c80319c");
    for unfit in ["a b", &"x".repeat(65), "a\tb"] {
        let made = app.anon().get("/v1/me").header("x-request-id", unfit).send().await.refused(401, "unauthenticated");
        assert_ne!(made.header("x-request-id"), Some(unfit));
    }
}

async fn the_document_is_served(app: &App) {
    let served = app.anon().get("/openapi.json").send().await.expect(200).value();
    let made: serde_json::Value = serde_json::to_value(gateway::openapi()).expect("JSON");
    assert_eq!(served, made);
    let reference = app.anon().get("/docs").send().await.expect(200);
    let text = String::from_utf8(reference.body.to_vec()).expect("text");
    for path in made["paths"].as_object().expect("paths").keys() {
        assert!(text.contains(path.as_str()), "{path} is not in the reference");
    }
    for code in kit::Code::ALL {
        assert!(text.contains(&format!("problem-{code}")), "{code} is not explained");
    }
}

async fn what_is_not_there_is_a_problem(app: &App) {
    for path in ["/v1/nothing", "/v2/items", "/favicon.ico", "/v1/items/", "//", "/v1/../etc/passwd", "/%00"] {
        app.anon().get(path).send().await.refused(404, "not_found");
    }
    for (method, path) in [(Method::PATCH, "/v1/items"), (Method::DELETE, "/"), (Method::PUT, "/v1/orders")] {
        let refused = app.ask(method, path).send().await.refused(405, "method_not_allowed");
        assert!(refused.header("allow").is_some(), "{refused:?}");
    }
}

async fn readiness_follows_the_market(column: Column) {
    let app = App::start(&column).await;
    app.anon().get("/healthz").send().await.expect(200);
    app.anon().get("/readyz").send().await.expect(200);
    app.market().set_ready(false);
    app.anon().get("/healthz").send().await.expect(200);
    app.anon().get("/readyz").send().await.refused(503, "unavailable");
    app.close().await;
}

async fn rehearsal_doors_are_shut_unless_opened(column: Column) {
    let app = App::with(&column, |config| {
        config.rehearsal.enabled = false;
        config.mail.smtp_url = Some(jangteo::config::Hidden(kit::Secret::new("smtp://127.0.0.1:9")));
    })
    .await;
    let admin = app.admin().await;
    for path in ["/v1/admin/rehearsal/buyers", "/v1/admin/rehearsal/noop"] {
        admin.post(path, &json!({"count": 1, "credit": 0})).send().await.refused(404, "not_found");
    }
    admin.get("/dev/mail").send().await.refused(404, "not_found");
    app.close().await;
}
