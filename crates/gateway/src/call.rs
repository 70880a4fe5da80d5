//! One request, as the edge and its extractors see it: which request, from where, in which language, until when.
//!
//! Made before routing and shared by reference count, so that an extractor can leave a note (which route it was, what
//! the rate limit said) that the edge reads when the answer comes back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath};
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;
use kit::{Ctx, Fault, Ids, Lang, RequestId};
use parking_lot::Mutex;

use crate::app::{App, Shared};
use crate::limit::Standing;
use crate::problem::Refusal;

/// No route was matched (yet).
const NO_ROUTE: usize = usize::MAX;

pub(crate) struct Call {
    pub(crate) ctx: Ctx,
    pub(crate) address: IpAddr,
    pub(crate) started: Instant,
    route: AtomicUsize,
    standing: Mutex<Option<Standing>>,
}

impl Call {
    pub(crate) fn new(app: &App, headers: &HeaderMap, address: IpAddr) -> Self {
        let started = Instant::now();
        let deadline = started + Duration::from_millis(app.settings.request_timeout_ms);
        let address = match app.settings.trust_forwarded {
            true => forwarded(headers).unwrap_or(address),
            false => address,
        };
        Self {
            ctx: Ctx { request_id: request_id(headers, &*app.ids), lang: lang(headers), deadline: Some(deadline) },
            address,
            started,
            route: AtomicUsize::new(NO_ROUTE),
            standing: Mutex::new(None),
        }
    }

    /// The call that `parts` belong to. Also notes which route was taken.
    pub(crate) fn of(parts: &Parts, app: &App) -> Result<Arc<Self>, Refusal> {
        let call = parts.extensions.get::<Arc<Self>>();
        let call = call.ok_or_else(|| Fault::internal("a request that did not come through the edge"))?;
        if call.route.load(Ordering::Relaxed) == NO_ROUTE
            && let Some(path) = parts.extensions.get::<MatchedPath>()
            && let Some(route) = app.meters.route(&parts.method, path.as_str())
        {
            call.route.store(route, Ordering::Relaxed);
        }
        Ok(call.clone())
    }

    /// Index of the route in the meters; `None` when nothing was matched.
    pub(crate) fn route(&self) -> Option<usize> {
        Some(self.route.load(Ordering::Relaxed)).filter(|route| *route != NO_ROUTE)
    }

    /// What the narrowest rate limit said last.
    pub(crate) fn standing(&self) -> Option<Standing> {
        *self.standing.lock()
    }

    pub(crate) fn note_standing(&self, standing: Standing) {
        *self.standing.lock() = Some(standing);
    }
}

/// Extractor of routes that ask nothing about who is asking.
pub(crate) struct Public(pub(crate) Arc<Call>);

impl Public {
    pub(crate) fn ctx(&self) -> &Ctx {
        &self.0.ctx
    }
}

impl FromRequestParts<Shared> for Public {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        Call::of(parts, app).map(Self)
    }
}

/// Who is at the other end, for a request that did not come over a listener of ours.
pub(crate) fn peer(extensions: &http::Extensions) -> IpAddr {
    extensions.get::<ConnectInfo<SocketAddr>>().map_or(Ipv4Addr::LOCALHOST.into(), |info| info.0.ip())
}

/// Taken from `x-request-id`, else the trace id of `traceparent` (W3C Trace Context), else made.
fn request_id(headers: &HeaderMap, ids: &dyn Ids) -> RequestId {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-request-id")
        .and_then(RequestId::parse)
        .or_else(|| text("traceparent").and_then(trace_id).and_then(RequestId::parse))
        .unwrap_or_else(|| RequestId::new(ids))
}

/// `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>`; a trace id of zeros means none.
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (_version, trace, _span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    (hex && trace.bytes().any(|b| b != b'0')).then_some(trace)
}

fn lang(headers: &HeaderMap) -> Lang {
    let header = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    header.and_then(Lang::from_header).unwrap_or_default()
}

/// The last entry of `X-Forwarded-For`: the one our own proxy wrote. Those before it are the client's word.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().expect("value"));
        }
        map
    }

    #[test]
    fn request_ids_are_taken_when_they_are_fit() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let parent = format!("00-{trace}-b7ad6b7169203331-01");
        let zeros = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        for (given, taken) in [
            (headers(&[("x-request-id", "abc-1")]), Some("abc-1")),
            (headers(&[("x-request-id", "abc-1"), ("traceparent", &parent)]), Some("abc-1")),
            (headers(&[("x-request-id", "no spaces"), ("traceparent", &parent)]), Some(trace)),
            (headers(&[("traceparent", &zeros)]), None),
            (headers(&[("traceparent", "00-short-b7-01")]), None),
            (headers(&[("x-request-id", &"x".repeat(65))]), None),
            (headers(&[]), None),
        ] {
            let id = request_id(&given, &kit::SystemIds);
            match taken {
                Some(text) => assert_eq!(id.as_str(), text),
                None => assert_eq!(id.as_str().len(), 32, "{given:?}"),
            }
        }
    }

    #[test]
    fn only_the_last_forwarded_address_is_believed() {
        for (lines, address) in [
            (vec![("x-forwarded-for", "6.6.6.6, 10.0.0.9")], Some("10.0.0.9")),
            (vec![("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "2001:db8::1")], Some("2001:db8::1")),
            (vec![("x-forwarded-for", "unknown")], None),
            (vec![], None),
        ] {
            assert_eq!(forwarded(&headers(&lines)).map(|a| a.to_string()).as_deref(), address);
        }
    }
}
