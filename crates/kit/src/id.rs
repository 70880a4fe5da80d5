//! Ids: one type per thing, UUID version 7 (RFC 9562) inside, so that they sort by time of making.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Makes a newtype over [`Uuid`] that is the id of one kind of thing.
#[macro_export]
macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
                 ::serde::Serialize, ::serde::Deserialize, ::utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(pub ::uuid::Uuid);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::uuid::Error;
            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl ::std::convert::From<::uuid::Uuid> for $name {
            fn from(id: ::uuid::Uuid) -> Self { Self(id) }
        }

        impl ::std::convert::From<$name> for ::uuid::Uuid {
            fn from(id: $name) -> Self { id.0 }
        }
    )+};
}

id! {
    /// A person with an account: buyer, seller or admin.
    MemberId,
    /// One sign-in on one device; the family of its refresh tokens.
    SessionId,
    StoreId,
    ItemId,
    /// What is bought: an item has one or more options, each with its own price and stock.
    OptionId,
    CategoryId,
    /// A limited sale (drop).
    SaleId,
    OrderId,
    /// One attempt to pay an order.
    AttemptId,
    /// One movement in the ledger.
    TransferId,
}

/// Where ids come from. Injected, so that a test may fix them.
pub trait Ids: Send + Sync + 'static {
    fn next(&self) -> Uuid;
}

/// UUID version 7, monotonic within the process.
#[derive(Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The smallest version 7 id that could have been made at `at_ms`: a lower bound for "since" queries.
pub fn id_floor(at_ms: i64) -> Uuid {
    let ms = u64::try_from(at_ms).unwrap_or(0);
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    Uuid::from_bytes(bytes)
}

/// The id that one request carries through every process, log line, event and error.
/// Taken from `x-request-id` when it is 1–64 of `[A-Za-z0-9._-]`, made otherwise.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub const CHARS_MAX: usize = 64;

    /// `None` when the text is not fit to be repeated in logs and headers.
    pub fn parse(text: &str) -> Option<Self> {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = !text.is_empty() && text.len() <= Self::CHARS_MAX && text.chars().all(fit);
        good.then(|| Self(text.into()))
    }

    pub fn new(ids: &dyn Ids) -> Self {
        Self(ids.next().simple().to_string().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_is_below_ids_of_its_millisecond() {
        let id = SystemIds.next();
        let (s, ns) = id.get_timestamp().expect("v7").to_unix();
        let ms = i64::try_from(s * 1000 + u64::from(ns) / 1_000_000).expect("small");
        assert!(id_floor(ms) <= id);
        assert!(id_floor(ms + 1) > id);
    }

    #[test]
    fn request_ids_that_could_forge_log_lines_are_refused() {
        for bad in ["", "a\nb", "a b", "é", &"x".repeat(65)] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
        }
        assert!(RequestId::parse("abc-123._Z").is_some());
    }
}
