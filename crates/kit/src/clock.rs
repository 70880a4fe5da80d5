//! Time, injected: nothing in the market asks the operating system for the time except [`SystemClock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since the Unix epoch, UTC. On the wire it is RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// The instant `ms` milliseconds later; saturates at the ends of time.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The latest instant RFC 3339 can write (end of year 9999), the upper bound for input.
    pub const MAX: Self = Self(253_402_207_200_999);

    fn text(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map(|t| t.to_string()).unwrap_or_else(|_| "out of range".into())
    }

    /// The market day this instant falls on, as days since 1970-01-01 in the market's zone.
    pub fn market_day(self, zone: &Zone) -> i64 {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let offset_s = i64::from(zone.to_offset(at).seconds());
        (self.0 + offset_s * 1000).div_euclid(86_400_000)
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => s.collect_str(&at),
            Err(e) => Err(serde::ser::Error::custom(e)),
        }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_millisecond()))
            .map_err(|_| serde::de::Error::custom("expected an RFC 3339 time such as 2026-01-31T14:00:00+09:00"))
    }
}

impl utoipa::PartialSchema for Millis {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 instant"))
            .into()
    }
}

impl utoipa::ToSchema for Millis {}

/// The market's time zone.
pub type Zone = jiff::tz::TimeZone;

/// A zone by its IANA name, such as `Asia/Seoul`.
pub fn zone(name: &str) -> Option<Zone> {
    jiff::tz::TimeZone::get(name).ok()
}

/// Where the market reads the time.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Millis(jiff::Timestamp::now().as_millisecond())
    }
}

/// A clock that the machine's clock moves and a test can push ahead. Never goes back.
#[derive(Clone, Default)]
pub struct ManualClock {
    ahead_ms: Arc<AtomicI64>,
}

impl ManualClock {
    /// Moves the clock `ms` milliseconds ahead.
    pub fn advance_ms(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        SystemClock.now().plus_ms(self.ahead_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn market_day_changes_at_midnight_in_seoul() {
        let zone = zone("Asia/Seoul").expect("zone");
        let last: Millis = serde_json::from_str("\"2026-01-31T14:59:59.999Z\"").expect("time");
        assert_eq!(last.market_day(&zone) + 1, last.plus_ms(1).market_day(&zone));
    }

    #[test]
    fn times_round_trip_as_rfc3339() {
        let at = Millis(1_700_000_000_123);
        let text = serde_json::to_string(&at).expect("time");
        assert_eq!(text, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Millis>(&text).expect("time"), at);
        assert!(serde_json::from_str::<Millis>("\"tomorrow\"").is_err());
    }
}
