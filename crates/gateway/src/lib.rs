//! The only public door for machines: REST under `/v1`, OpenAPI 3.1, authentication, limits.
//!
//! A route takes its extractors (who is asking is one of them), calls one method of one service and shapes the reply.
//! It knows the services by their contracts only, and never a database. What every request meets on its way in and
//! out stands in `edge.rs`; where connections come from in `serve.rs`; the table of routes in `route.rs`.
//!
//! **Invariant:** whatever goes wrong is answered as a problem document (RFC 9457). The exceptions are what HTTP itself
//! refuses before there is a request: an unreadable head is answered with a bare 400 or 431.

mod app;
mod auth;
mod call;
mod connection;
mod edge;
mod input;
mod key;
mod limit;
mod live;
mod meter;
pub mod metrics;
mod openapi;
mod pace;
mod page;
mod problem;
mod reply;
mod route;
mod serve;
mod settings;
#[cfg(test)]
mod tests;

pub use openapi::openapi;
pub use settings::{Rate, Rates, Settings};

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use contract::catalog::CatalogClient;
use contract::member::MemberClient;
use contract::order::OrderClient;
use contract::payment::PaymentClient;
use http::Method;
use kit::{Clock, Ids, Result};
use tokio::net::TcpListener;

use crate::app::App;
use crate::edge::{Edge, InProcess};

/// What the edge is made of.
pub struct Deps {
    pub member: MemberClient,
    pub catalog: CatalogClient,
    pub order: OrderClient,
    pub payment: PaymentClient,
    pub kv: kv::Shared,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub settings: Settings,
}

/// The edge of a market.
#[derive(Clone)]
pub struct Gateway(Arc<Edge>);

impl Gateway {
    /// Install the metrics first ([`metrics::install`]), if they are wanted. Not ready until [`Self::set_ready`].
    /// Errors: settings that cannot work.
    pub fn new(deps: Deps) -> Result<Self> {
        deps.settings.check()?;
        let app = Arc::new(App::new(deps));
        let router = route::router(&app.settings).with_state(app.clone());
        Ok(Self(Arc::new(Edge::new(app, router))))
    }

    /// Serves `listener` until `shutdown` resolves; then answers what is running, ends live streams and returns, at the
    /// latest after the drain timeout.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        serve::serve(self.0.clone(), listener, shutdown).await;
    }

    /// The edge without a listener, for tests. Requests come from `ConnectInfo`, or else from this machine.
    pub fn router(&self) -> Router {
        Router::new().fallback_service(InProcess(self.0.clone()))
    }

    /// What `/readyz` says. A shutdown of [`Self::serve`] makes it false.
    pub fn set_ready(&self, ready: bool) {
        self.0.app.ready.store(ready, Ordering::Relaxed);
    }
}

/// Every route that a market can have (those of rehearsals and the mailbox are only there when switched on). Paths as
/// in OpenAPI: `/v1/items/{item_id}`.
pub fn routes() -> Vec<(Method, String)> {
    route::all()
}
