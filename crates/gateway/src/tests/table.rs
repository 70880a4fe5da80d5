//! The router and the OpenAPI document say the same.

use std::collections::HashSet;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use kit::Code;

use super::fake::World;
use crate::openapi::{declared_names, operations, roles};
use crate::{openapi, routes};

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.starts_with('{') {
        true => "0190b5a0-0000-7000-8000-000000000000",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn answer(world: &World, method: &Method, path: &str) -> super::fake::Reply {
    let request = Request::builder().method(method).uri(filled(path));
    // Query-less streams and lists answer too; what matters is that a handler does.
    world.send(request.body(Body::empty()).expect("request")).await
}

#[tokio::test]
async fn every_documented_route_is_routed_and_no_other_method_of_it() {
    let world = World::new();
    let documented: HashSet<(Method, String)> = routes().into_iter().collect();
    let paths: HashSet<&String> = documented.iter().map(|(_, path)| path).collect();
    for path in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let reply = answer(&world, &method, path).await;
            let routed = reply.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(routed, documented.contains(&(method.clone(), path.clone())), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn who_may_call_is_what_the_document_says() {
    let world = World::new();
    for (path, item) in &openapi().paths.paths {
        for (method, operation) in operations(item) {
            let optional = roles(operation).is_empty() && *path == "/v1/items/{item_id}";
            let guarded = operation.security.is_some() && !optional;
            let reply = answer(&world, &method, path).await;
            assert_eq!(reply.status == StatusCode::UNAUTHORIZED, guarded, "{method} {path}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn every_route_is_counted_as_itself() {
    let world = World::new();
    let meters = &world.gateway.0.app.meters;
    for (method, path) in routes() {
        let number = meters.route(&method, &path).expect("known");
        assert_eq!(meters.path(Some(number)), path);
    }
    assert_eq!(meters.route(&Method::HEAD, "/v1/items"), meters.route(&Method::GET, "/v1/items"));
    assert_eq!(meters.path(None), "none");
}

#[test]
fn the_document_is_whole() {
    let document = openapi();
    let json = serde_json::to_value(&document).expect("JSON");
    assert!(json["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", json["openapi"]);
    assert!(json["components"]["securitySchemes"]["token"].is_object());
    let mut ids = HashSet::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in operations(item) {
            let place = format!("{method} {path}");
            assert!(ids.insert(operation.operation_id.clone().expect("id")), "{place}: its id stands twice");
            assert!(operation.summary.as_deref().is_some_and(|text| !text.is_empty()), "{place}");
            assert!(operation.responses.responses.keys().any(|status| status.starts_with('2')), "{place}");
            for status in ["429", "500", "503"] {
                assert!(operation.responses.responses.contains_key(status), "{place} {status}");
            }
            for name in declared_names(operation) {
                assert!(Code::ALL.iter().any(|code| code.as_str() == name), "{place}: no code {name}");
            }
        }
    }
    let text = json.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().expect("name");
        assert!(json["components"]["schemas"].get(name).is_some(), "no schema {name}");
    }
}
