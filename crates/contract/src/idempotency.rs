//! Idempotency keys: the client names its request, and gets one result for it however often it asks.

use std::sync::Arc;

use kit::{Code, Fault, Result};
use serde::{Deserialize, Serialize};

/// 1–300 visible ASCII characters, chosen by the client. Scope: member + operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    pub const CHARS_MAX: usize = 300;

    /// Errors: `idempotency_key_missing` when the text is not such a key.
    pub fn parse(text: &str) -> Result<Self> {
        let good = (1..=Self::CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        match good {
            true => Ok(Self(text.into())),
            false => Err(Fault::new(Code::IdempotencyKeyMissing)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An answer, and whether it was given before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Once<T> {
    pub answer: T,
    /// The effect was already there: this is the first answer again.
    pub replayed: bool,
}

impl<T> Once<T> {
    pub fn first(answer: T) -> Self {
        Self { answer, replayed: false }
    }

    pub fn again(answer: T) -> Self {
        Self { answer, replayed: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        for good in ["a", "order-1", &"x".repeat(300)] {
            assert!(IdempotencyKey::parse(good).is_ok());
        }
        for bad in ["", "a b", "é", "a\u{7f}", &"x".repeat(301)] {
            assert_eq!(IdempotencyKey::parse(bad).expect_err("bad").code, Code::IdempotencyKeyMissing);
        }
    }
}
