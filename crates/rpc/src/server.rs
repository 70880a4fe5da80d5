//! The answering side of a remote service.

use std::future::Future;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{StatusCode, header};
use kit::{Code, Ctx, Fault, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::BODY_BYTES_MAX;

/// Adds one method of a service to `router`.
pub fn route<Q, R, F, Fut>(router: Router, path: &'static str, call: F) -> Router
where
    Q: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    F: Fn(Ctx, Q) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    let handler = move |body: Bytes| async move {
        let (ctx, request) = match serde_json::from_slice::<(Ctx, Q)>(&body) {
            Ok(parts) => parts,
            Err(e) => return answer::<R>(Err(Fault::new(Code::BadJson).context(e))),
        };
        let span = tracing::info_span!("call", request.id = %ctx.request_id, path);
        answer(call(ctx, request).instrument(span).await)
    };
    router.route(path, post(handler))
}

fn answer<R: Serialize>(outcome: Result<R>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let written = match &outcome {
        Ok(reply) => serde_json::to_vec(reply).map(|body| (StatusCode::OK, body)),
        Err(fault) => serde_json::to_vec(fault).map(|body| (status(fault), body)),
    };
    match written {
        Ok((status, body)) => (status, json, body).into_response(),
        Err(e) => {
            tracing::error!(error = %e, "a reply could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A service that is being served; stops when told to, finishing what has begun.
pub struct Served {
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub async fn stop(self) {
        // Either end may already be gone: then there is nothing left to stop.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Serves `router` to other services on `listener`.
pub fn serve(listener: TcpListener, router: Router) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    Served { stop, task: tokio::spawn(server.into_future()) }
}
