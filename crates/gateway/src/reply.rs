//! Shapes of good answers: JSON, created things with their place, answers given before, nothing.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::idempotency::Once;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use kit::Fault;
use serde::Serialize;

use crate::problem::Refusal;

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// 200 and the value.
pub(crate) struct Found<T>(pub(crate) T);

/// 200 and the result of something that was done, perhaps earlier.
pub(crate) struct Done<T>(pub(crate) Once<T>);

/// 201, the value and where it is from now on.
pub(crate) struct Created<T> {
    pub(crate) at: String,
    pub(crate) once: Once<T>,
}

/// 202: it will be looked at; says nothing about what becomes of it.
pub(crate) struct Accepted;

/// 204.
pub(crate) struct Nothing;

impl<T> Created<T> {
    /// Created just now.
    pub(crate) fn now(at: String, value: T) -> Self {
        Self { at, once: Once::first(value) }
    }
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Done<T> {
    fn into_response(self) -> Response {
        marked(json(StatusCode::OK, &self.0.answer), self.0.replayed)
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.once.answer);
        if let Ok(at) = HeaderValue::from_maybe_shared(Bytes::from(self.at)) {
            response.headers_mut().insert(LOCATION, at);
        }
        marked(response, self.once.replayed)
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl IntoResponse for Nothing {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Most answers fit without growing.
const BYTES_EXPECTED: usize = 512;

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut out = Vec::with_capacity(BYTES_EXPECTED);
    if let Err(e) = serde_json::to_writer(&mut out, value) {
        return Refusal(Fault::internal(format!("an answer could not be written: {e}"))).into_response();
    }
    let mut response = Response::new(Body::from(Bytes::from(out)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // For these and those that the edge adds: grown once.
    headers.reserve(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn marked(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
