//! Rate limits: GCRA per address and per member, said in `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers).
//!
//! The counting is the shared memory's. When it cannot be reached the request goes on: a rate limit protects, it does
//! not decide.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::HeaderValue;
use http::request::Parts;
use kit::id::MemberId;
use kit::{Code, Fault};
use kv::{Quota, Verdict};

use crate::app::{App, Shared};
use crate::call::Call;
use crate::problem::Refusal;
use crate::settings::{Rate, Rates};

/// The limits of this edge.
pub(crate) struct Limits {
    address: Limit,
    member: Limit,
    sign_in: Limit,
    sign_up: Limit,
}

pub(crate) struct Limit {
    quota: Quota,
    /// `RateLimit-Policy`, ready to send.
    policy: HeaderValue,
}

/// What a limit said about this request.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    quota: Quota,
    remaining: u32,
    /// Seconds until the whole burst is there again.
    reset_s: u64,
}

impl Limits {
    pub(crate) fn new(rates: &Rates) -> Self {
        Self {
            address: Limit::new("address", rates.address),
            member: Limit::new("member", rates.member),
            sign_in: Limit::new("sign_in", rates.sign_in),
            sign_up: Limit::new("sign_up", rates.sign_up),
        }
    }

    /// Says the narrowest limit's standing in the headers of an answer.
    pub(crate) fn write(&self, standing: &Standing, headers: &mut HeaderMap) {
        let limits = [&self.address, &self.member, &self.sign_in, &self.sign_up];
        if let Some(limit) = limits.into_iter().find(|limit| limit.quota.name == standing.quota.name) {
            headers.insert("ratelimit-policy", limit.policy.clone());
        }
        let text = format!("\"{}\";r={};t={}", standing.quota.name, standing.remaining, standing.reset_s);
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.insert("ratelimit", value);
        }
    }
}

impl Limit {
    fn new(name: &'static str, rate: Rate) -> Self {
        let quota = Quota { name, burst: rate.burst.max(1), per_minute: rate.per_minute.max(1) };
        let window_s = refill_s(&quota, quota.burst).max(1);
        let policy = HeaderValue::from_str(&format!("\"{name}\";q={};w={window_s}", quota.burst));
        // Letters and digits only: cannot fail, and a missing policy would only be unsaid.
        Self { quota, policy: policy.unwrap_or(HeaderValue::from_static("")) }
    }

    async fn take(&self, app: &App, call: &Call, key: &str) -> Result<(), Fault> {
        if !app.settings.rate_limits {
            return Ok(());
        }
        let verdict = match app.kv.take(&self.quota, key).await {
            Ok(verdict) => verdict,
            Err(fault) => {
                tracing::warn!(limit = self.quota.name, error = %fault, "a rate limit could not be counted");
                return Ok(());
            }
        };
        let Verdict { allowed, remaining, retry_after_ms } = verdict;
        let reset_s = refill_s(&self.quota, self.quota.burst.saturating_sub(remaining));
        call.note_standing(Standing { quota: self.quota, remaining, reset_s });
        match allowed {
            true => Ok(()),
            false => {
                let seconds = u32::try_from(retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
                Err(Fault::new(Code::RateLimited).retry_after(seconds.max(1)))
            }
        }
    }
}

/// Counts one request of an address. Errors: `rate_limited`.
pub(crate) async fn address(app: &App, call: &Call) -> Result<(), Fault> {
    if !app.settings.rate_limits {
        return Ok(());
    }
    app.limits.address.take(app, call, &address_key(call.address)).await
}

/// Counts one request of a member. Errors: `rate_limited`.
pub(crate) async fn member(app: &App, call: &Call, member: MemberId) -> Result<(), Fault> {
    if !app.settings.rate_limits {
        return Ok(());
    }
    let mut text = [0; 32];
    app.limits.member.take(app, call, member.0.simple().encode_lower(&mut text)).await
}

/// Extractor of the doors at which tokens are given out: their own, strict limit per address.
pub(crate) struct SignInDoor(pub(crate) std::sync::Arc<Call>);

/// Extractor of the doors at which members are made and mails are sent: likewise.
pub(crate) struct SignUpDoor(pub(crate) std::sync::Arc<Call>);

impl FromRequestParts<Shared> for SignInDoor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let call = Call::of(parts, app)?;
        app.limits.sign_in.take(app, &call, &address_key(call.address)).await?;
        Ok(Self(call))
    }
}

impl FromRequestParts<Shared> for SignUpDoor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let call = Call::of(parts, app)?;
        app.limits.sign_up.take(app, &call, &address_key(call.address)).await?;
        Ok(Self(call))
    }
}

/// An IPv6 customer holds a whole /64: it counts as one address.
fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Seconds until `cells` are refilled, rounded up.
fn refill_s(quota: &Quota, cells: u32) -> u64 {
    (u64::from(cells) * 60).div_ceil(u64::from(quota.per_minute.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let key = |text: &str| address_key(text.parse().expect("address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_ne!(key("10.0.0.2"), key("10.0.0.1"));
    }

    #[test]
    fn the_policy_says_quota_and_window() {
        let limit = Limit::new("sign_in", Rate { burst: 20, per_minute: 30 });
        assert_eq!(limit.policy, "\"sign_in\";q=20;w=40");
        assert_eq!(refill_s(&limit.quota, 1), 2);
        assert_eq!(refill_s(&limit.quota, 0), 0);
    }
}
