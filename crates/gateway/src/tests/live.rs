//! Live availability: the state first, then changes, gathered, of what was asked for and nothing else.

use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use contract::order::{Availability, TOPIC_AVAILABILITY};
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::fake::{World, available, option};

async fn open(world: &World, options: &[u8]) -> Body {
    let ids: Vec<String> = options.iter().map(|n| option(*n).to_string()).collect();
    let request = Request::get(format!("/v1/availability/stream?options={}", ids.join(",")));
    let response = world.router().oneshot(request.body(Body::empty()).expect("request")).await.expect("infallible");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

/// The events of the next frame.
async fn events(body: &mut Body) -> Vec<Availability> {
    let frame = tokio::time::timeout(Duration::from_secs(2), body.frame()).await.expect("in time");
    let data = frame.expect("open").expect("frame").into_data().expect("data");
    let text = String::from_utf8(data.to_vec()).expect("text");
    let parse = |line: &str| serde_json::from_str(line).expect("availability");
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(parse).collect()
}

async fn publish(world: &World, n: u8, units: i64) {
    let text = serde_json::to_string(&available(n, units)).expect("text");
    world.kv.publish(TOPIC_AVAILABILITY, text.into()).await.expect("published");
}

#[tokio::test]
async fn the_state_comes_first_and_changes_follow() {
    let world = World::new();
    world.fake.availability.lock().extend([available(1, 10), available(2, 20), available(3, 30)]);
    let mut body = open(&world, &[1, 2]).await;
    assert_eq!(events(&mut body).await, [available(1, 10), available(2, 20)]);
    publish(&world, 3, 29).await;
    publish(&world, 1, 9).await;
    assert_eq!(events(&mut body).await, [available(1, 9)]);
}

#[tokio::test]
async fn a_hot_option_makes_few_events_and_the_last_is_the_newest() {
    let world = World::new();
    world.fake.availability.lock().push(available(1, 1_000));
    let mut body = open(&world, &[1]).await;
    events(&mut body).await;
    let begun = Instant::now();
    let crowd = async {
        for units in (0..500).rev() {
            publish(&world, 1, units).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let reader = async {
        let mut count = 0;
        loop {
            let seen = events(&mut body).await;
            count += seen.len();
            if seen.last().is_some_and(|last| last.available == 0) {
                return count;
            }
        }
    };
    let ((), count) = tokio::join!(crowd, reader);
    let allowed = 2 + begun.elapsed().as_millis() / 200;
    assert!((count as u128) <= allowed, "{count} events, {allowed} allowed");
}

#[tokio::test]
async fn what_was_missed_is_read_again() {
    let world = World::new();
    world.fake.availability.lock().push(available(1, 10));
    let mut body = open(&world, &[1]).await;
    events(&mut body).await;
    *world.fake.availability.lock() = vec![available(1, 3)];
    // More than the topic remembers, in one go: the listener cannot have kept up.
    for _ in 0..10_000 {
        publish(&world, 2, 1).await;
    }
    assert_eq!(events(&mut body).await, [available(1, 3)]);
}

#[tokio::test]
async fn streams_are_limited_and_end_with_the_server() {
    let world = World::with(|settings| settings.streams_max = 1);
    let mut body = open(&world, &[1]).await;
    events(&mut body).await;
    let request = || {
        let path = format!("/v1/availability/stream?options={}", option(1));
        Request::get(path).body(Body::empty()).expect("request")
    };
    assert_eq!(world.send(request()).await.problem(), "overloaded");
    drop(body);
    let mut body = open(&world, &[1]).await;
    events(&mut body).await;
    world.gateway.0.app.live.close();
    assert!(body.frame().await.is_none());
    assert!(!body.is_end_stream(), "ended by its last frame, not by its length");
    assert_eq!(world.send(request()).await.problem(), "overloaded", "no new ones while stopping");
}
