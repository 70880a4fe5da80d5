//! What an operator may set about the edge. Plain values: reading them from a file is the binary's business.

use kit::page::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use kit::{Currency, Fault, Result};

/// Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest body of a request; more is 413.
    pub body_bytes_max: usize,
    /// From the last byte of the head to the answer. A body that is not there by then is 408, an answer 503.
    pub request_timeout_ms: u64,
    /// From the first byte of a request to the last of its head; then the connection is closed.
    pub header_timeout_ms: u64,
    /// A connection on which nothing is asked is closed after this.
    pub idle_timeout_ms: u64,
    /// A client that takes nothing of its answer for this long is cut off.
    pub write_timeout_ms: u64,
    /// A shutdown waits this long for running requests.
    pub drain_timeout_ms: u64,
    /// Open connections; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Requests being worked on; one more is 503 at once.
    pub in_flight_max: usize,
    /// Open live streams; one more is 503.
    pub streams_max: usize,
    /// Rows of a page when the client does not say, and at most.
    pub page_size_default: usize,
    pub page_size_max: usize,
    pub rate_limits: bool,
    pub rates: Rates,
    /// The server stands behind one proxy that sets `X-Forwarded-For`; its last entry is the client.
    pub trust_forwarded: bool,
    /// Show the mailbox page that stands in for an SMTP server.
    pub mailbox: bool,
    /// Route the doors that rehearsals use to make buyers in bulk.
    pub rehearsal: bool,
    /// `iss` and `aud` of the tokens that are believed.
    pub issuer: String,
    pub audience: String,
    /// The market's currency, for what is said in bare numbers.
    pub currency: Currency,
}

/// A GCRA rate: `burst` at once, refilled at `per_minute`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub burst: u32,
    pub per_minute: u32,
}

/// How often one address or one member may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Every request, per address. Generous: a whole company or mobile carrier may share one.
    pub address: Rate,
    /// Every signed-in request, per member.
    pub member: Rate,
    /// Log-in and refresh, per address.
    pub sign_in: Rate,
    /// Sign-up and verification, per address.
    pub sign_up: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            address: Rate { burst: 20_000, per_minute: 600_000 },
            member: Rate { burst: 120, per_minute: 600 },
            sign_in: Rate { burst: 30, per_minute: 30 },
            sign_up: Rate { burst: 30, per_minute: 30 },
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            request_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: 30_000,
            drain_timeout_ms: 15_000,
            connections_max: 20_000,
            in_flight_max: 4_096,
            streams_max: 20_000,
            page_size_default: PAGE_SIZE_DEFAULT,
            page_size_max: PAGE_SIZE_MAX,
            rate_limits: true,
            rates: Rates::default(),
            trust_forwarded: false,
            mailbox: false,
            rehearsal: false,
            issuer: "jangteo".into(),
            audience: "market".into(),
            currency: Currency::KRW,
        }
    }
}

impl Settings {
    /// Errors: a time or limit of 0, with which nothing could ever be answered.
    pub(crate) fn check(&self) -> Result<()> {
        let times_ms = [
            ("request_timeout_ms", self.request_timeout_ms),
            ("header_timeout_ms", self.header_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
        ];
        let limits = [
            ("body_bytes_max", self.body_bytes_max),
            ("connections_max", self.connections_max),
            ("in_flight_max", self.in_flight_max),
            ("page_size_default", self.page_size_default),
            ("page_size_max", self.page_size_max),
        ];
        let limits = limits.map(|(name, value)| (name, value as u64));
        match times_ms.into_iter().chain(limits).find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Fault::internal(format!("{name} of the gateway must not be 0"))),
            None => Ok(()),
        }
    }

    /// The page size to read with, when the client asked for `asked`.
    pub(crate) fn page_size(&self, asked: Option<usize>) -> Option<usize> {
        Some(asked.unwrap_or(self.page_size_default).min(self.page_size_max))
    }
}
