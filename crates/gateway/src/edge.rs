//! What happens around every handler, in one function: id, limits, span, panics, problems, headers, counting.
//!
//! One function instead of a stack of layers, because each layer costs a boxed future per request and this is the hot
//! path. The order is: a place among the running requests, the address's rate, the router, then the answer's dressing.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kit::{Code, Fault, Kind};
use tower::Service;
use tracing::Instrument as _;

use crate::app::Shared;
use crate::call::{self, Call};
use crate::limit;
use crate::problem::{self, Refusal};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Nothing that this server answers as data may be run or framed.
const CSP_DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// An answer that took longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

pub(crate) struct Edge {
    pub(crate) app: Shared,
    router: Router,
}

impl Edge {
    pub(crate) fn new(app: Shared, router: Router) -> Self {
        Self { app, router }
    }

    /// Answers one request of `address`.
    pub(crate) async fn answer(&self, mut request: Request, address: IpAddr) -> Response {
        let call = Arc::new(Call::new(&self.app, request.headers(), address));
        let method = request.method().clone();
        request.extensions_mut().insert(call.clone());
        let span = tracing::info_span!("request", request.id = %call.ctx.request_id);
        async {
            let mut response = self.admitted(request, &call).await;
            self.finish(&call, &method, &mut response);
            response
        }
        .instrument(span)
        .await
    }

    async fn admitted(&self, request: Request, call: &Call) -> Response {
        let Some(_place) = self.app.enter() else {
            return Refusal(Fault::new(Code::Overloaded).retry_after(1)).into_response();
        };
        if let Err(fault) = limit::address(&self.app, call).await {
            return Refusal(fault).into_response();
        }
        // The router holds no state that a panic could leave half changed.
        let routed = AssertUnwindSafe(self.routed(request)).catch_unwind().await;
        routed.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Refusal(Fault::internal(format!("panic at the edge: {text}"))).into_response()
        })
    }

    async fn routed(&self, request: Request) -> Response {
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn finish(&self, call: &Call, method: &Method, response: &mut Response) {
        let took = call.started.elapsed();
        if let Some(Refusal(fault)) = response.extensions_mut().remove::<Refusal>() {
            problem::write(&fault, &call.ctx, response);
            self.app.meters.count_problem(fault.code);
            self.log(&fault, method, call);
        }
        let status = response.status();
        let headers = response.headers_mut();
        if let Some(standing) = call.standing() {
            self.app.limits.write(&standing, headers);
        }
        dress(headers, call);
        self.app.meters.count(call.route(), status, took);
        let (route, took_us) = (|| self.app.meters.path(call.route()), took.as_micros() as u64);
        let status = status.as_u16();
        match took > SLOW {
            true => tracing::info!(http.route = route(), http.status = status, took_us, "{method} answered slowly"),
            false => tracing::debug!(http.route = route(), http.status = status, took_us, "{method} answered"),
        }
    }

    /// Says once what went wrong on our side. What the client did wrong is no news.
    fn log(&self, fault: &Fault, method: &Method, call: &Call) {
        let (route, context) = (|| self.app.meters.path(call.route()), fault.context.as_deref().unwrap_or_default());
        match (fault.kind(), fault.code) {
            (Kind::Internal, code) => {
                tracing::error!(http.route = route(), code = %code, context, "{method} failed");
            }
            // Being full is counted, not told line by line.
            (Kind::Unavailable, code) if code != Code::Overloaded => {
                tracing::warn!(http.route = route(), code = %code, context, "{method} could not be served");
            }
            (_, code) => tracing::debug!(http.route = route(), code = %code, context, "{method} refused"),
        }
    }
}

/// Headers of every answer.
fn dress(headers: &mut HeaderMap, call: &Call) {
    headers.reserve(8);
    if let Ok(id) = HeaderValue::from_str(call.ctx.request_id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(CSP_DATA);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The edge as a service, for requests that do not come over a listener of ours.
#[derive(Clone)]
pub(crate) struct InProcess(pub(crate) Arc<Edge>);

impl Service<http::Request<Body>> for InProcess {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let edge = self.0.clone();
        Box::pin(async move {
            let address = call::peer(request.extensions());
            Ok(edge.answer(request, address).await)
        })
    }
}
