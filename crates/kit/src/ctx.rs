//! What travels with every call: which request, in whose name, in which language, until when.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// What a member may do. Comes from the door used at sign-up, never from a request body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Buyer,
    Seller,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Seller => "seller",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Buyer, Self::Seller, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// Language of texts meant for people.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lang {
    #[default]
    Ko,
    En,
}

impl Lang {
    /// The first supported language of an `Accept-Language` header (RFC 9110 §12.5.4), by weight.
    pub fn from_header(header: &str) -> Option<Self> {
        let weigh = |part: &str| -> Option<(u32, Self)> {
            let mut pieces = part.split(';');
            let tag = pieces.next()?.trim().to_ascii_lowercase();
            let lang = match tag.split('-').next()? {
                "ko" => Self::Ko,
                "en" => Self::En,
                _ => return None,
            };
            let q = pieces.find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            // Milli-weights: `max_by_key` needs a total order.
            Some(((q.clamp(0.0, 1.0) * 1000.0) as u32, lang))
        };
        // `rev`, because `max_by_key` keeps the last of equals and the first mentioned should win.
        header.split(',').rev().filter_map(weigh).filter(|(q, _)| *q > 0).max_by_key(|(q, _)| *q).map(|(_, l)| l)
    }
}

/// The envelope of a service call. Crosses the wire with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ctx {
    pub request_id: RequestId,
    #[serde(default)]
    pub lang: Lang,
    /// After this instant nobody waits for the answer any more. Real time, not the market's clock; on the wire it
    /// is the time that is left, so that two machines need not agree on the hour.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time_left")]
    pub deadline: Option<Instant>,
}

mod time_left {
    use std::time::{Duration, Instant};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(deadline: &Option<Instant>, s: S) -> Result<S::Ok, S::Error> {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64);
        left.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Instant>, D::Error> {
        let left_ms = Option::<u64>::deserialize(d)?;
        Ok(left_ms.map(|ms| Instant::now() + Duration::from_millis(ms.min(super::DEADLINE_MS_MAX))))
    }
}

/// No call may ask to be waited for longer than this.
pub const DEADLINE_MS_MAX: u64 = 60_000;

impl Ctx {
    pub fn new(request_id: RequestId) -> Self {
        Self { request_id, lang: Lang::default(), deadline: None }
    }

    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Some(Instant::now() + time);
        self
    }

    /// For work that no request caused: jobs, the command line.
    pub fn internal(ids: &dyn crate::Ids) -> Self {
        Self::new(RequestId::new(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_by_weight_then_order() {
        let cases = [
            ("en", Some(Lang::En)),
            ("ko-KR,ko;q=0.9,en;q=0.8", Some(Lang::Ko)),
            ("fr, en;q=0.5, ko;q=0.7", Some(Lang::Ko)),
            ("en,ko", Some(Lang::En)),
            ("ko;q=0", None),
            ("", None),
        ];
        for (header, lang) in cases {
            assert_eq!(Lang::from_header(header), lang, "{header}");
        }
    }
}
