//! Who may call what: every route × every kind of person has an expected status (I16).

use std::collections::BTreeSet;

use http::Method;

use crate::app::App;
use crate::route::{ACTORS, People, Scene, routes};

every_column!(every_route_answers_everybody_as_the_table_says);

/// A route without a line in the table has nobody who thought about who may call it.
#[test]
fn the_table_has_every_route_and_no_other() {
    let named = |(method, path): (Method, String)| format!("{method} {path}");
    let routed: BTreeSet<String> = gateway::routes().into_iter().map(named).collect();
    let listed: Vec<String> = routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a route stands twice");
    assert_eq!(routed.difference(&unique).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in the table");
    assert_eq!(unique.difference(&routed).collect::<Vec<_>>(), Vec::<&String>::new(), "in the table, but no route");
}

/// The document describes the API: all of it, and nothing else.
#[test]
fn the_document_and_the_router_agree() {
    let document = serde_json::to_value(gateway::openapi()).expect("JSON");
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys().filter(|name| *name != "parameters") {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let undocumented = |path: &str| !path.starts_with("/v1/") && !path.starts_with("/.well-known/");
    let routed = gateway::routes().into_iter().filter(|(_, path)| !undocumented(path));
    let routed = routed.filter(|(_, path)| !path.starts_with("/v1/admin/rehearsal/"));
    let routed: BTreeSet<String> = routed.map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(documented, routed);
}

async fn every_route_answers_everybody_as_the_table_says(app: &App) {
    let mut people = People::gather(app).await;
    let mut wrong = Vec::new();
    for route in routes() {
        let scene = Scene::set(app, &people).await;
        for ((who, actor), expected) in ACTORS.iter().zip(people.all()).zip(route.expected) {
            // Only the head: one of the answers never ends.
            let status = scene.request(app, actor, &route).send_head().await;
            if status != expected {
                wrong.push(format!("{} {} by {who}: {status}, not {expected}", route.method, route.path));
            }
        }
        if route.path.starts_with("/v1/sessions") && route.method == Method::DELETE {
            people = People::gather(app).await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
