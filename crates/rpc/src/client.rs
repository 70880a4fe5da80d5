//! The calling side of a remote service.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kit::{Code, Ctx, Fault, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BODY_BYTES_MAX;

/// One address at which a service answers.
#[derive(Clone)]
pub struct Peer {
    http: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

impl Peer {
    pub fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Self { http, address }
    }

    /// Calls `path` with `request`. Errors: the service's own fault, `unavailable` when it cannot be reached,
    /// `deadline_exceeded` by way of [`crate::guard`].
    pub async fn call<Q: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        ctx: &Ctx,
        request: &Q,
    ) -> Result<R> {
        let body = serde_json::to_vec(&(ctx, request)).map_err(Fault::internal)?;
        let uri = format!("http://{}{path}", self.address);
        let call = http::Request::post(uri)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(Fault::internal)?;
        let lost =
            |e: &dyn std::fmt::Display| Fault::new(Code::Unavailable).retry_after(1).context(format!("{path}: {e}"));
        let answer = self.http.request(call).await.map_err(|e| lost(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| lost(&e))?.to_bytes();
        let foreign =
            |e: serde_json::Error| Fault::internal(format!("{path} answered {status} with foreign JSON: {e}"));
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(foreign);
        }
        Err(serde_json::from_slice::<Fault>(&body).unwrap_or_else(foreign))
    }
}
