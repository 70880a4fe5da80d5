//! The Prometheus page, on a listener of its own: not for the public.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use kit::{Fault, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// Reads what was counted.
#[derive(Clone)]
pub struct Handle(PrometheusHandle);

impl Handle {
    /// The page, in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS_S: [f64; 14] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Samples of histograms are folded into their buckets this often.
const UPKEEP: Duration = Duration::from_secs(5);

/// Makes this process count. Call it before anything that counts is made; calling it again gives the same handle.
/// Errors: somebody else installed another recorder.
pub fn install() -> Result<Handle> {
    static INSTALLED: OnceLock<Handle> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS_S)
        .map_err(Fault::internal)?;
    let handle = Handle(builder.install_recorder().map_err(Fault::internal)?);
    describe();
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

/// Serves the page at `/metrics` of `listener` until `shutdown`.
pub async fn serve(listener: TcpListener, handle: Handle, shutdown: impl Future<Output = ()> + Send + 'static) {
    let upkeep = {
        let handle = handle.0.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        })
    };
    let page = |State(handle): State<Handle>| async move {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
    };
    let router = Router::new().route("/metrics", get(page)).with_state(handle);
    if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
        tracing::error!(error = %e, "the metrics page stopped");
    }
    upkeep.abort();
}

fn describe() {
    metrics::describe_counter!("http_requests_total", "Requests answered, by route and class of status.");
    metrics::describe_counter!("http_problems_total", "Problems answered, by code.");
    metrics::describe_histogram!("http_request_seconds", "From the head of a request to the head of its answer.");
    metrics::describe_gauge!("http_requests_in_flight", "Requests being worked on.");
    metrics::describe_gauge!("http_connections", "Open connections.");
    metrics::describe_gauge!("http_live_streams", "Open live streams.");
}
