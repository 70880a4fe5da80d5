//! Opaque tokens: 256 random bits that a person holds and of which we keep only a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{Result, Secret};
use ring::{digest, hmac};

use crate::vault::random;

/// A verification or refresh token.
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn make() -> Result<Self> {
        random().map(Self)
    }

    /// `None` when the text cannot be a token of ours.
    pub(crate) fn parse(text: &Secret) -> Option<Self> {
        let mut bytes = [0_u8; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(text.expose(), &mut bytes).ok()?;
        (length == bytes.len()).then_some(Self(bytes))
    }

    pub(crate) fn text(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    /// What is stored. Plain SHA-256: there are too many tokens to try, unlike passwords.
    pub(crate) fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.0).as_ref().to_vec()
    }

    /// The token that follows this one: always the same, and not to be guessed without `key`.
    pub(crate) fn successor(&self, key: &hmac::Key) -> Self {
        let mut next = [0_u8; 32];
        next.copy_from_slice(hmac::sign(key, &self.0).as_ref());
        Self(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_garbage_is_none() {
        let token = Token::make().expect("token");
        let again = Token::parse(&token.text()).expect("own token");
        assert_eq!(again.hash(), token.hash());
        let long = format!("{}A", token.text().expose());
        for garbage in ["", "x", "한글", &"!".repeat(43), &"A".repeat(42), &long] {
            assert!(Token::parse(&Secret::new(garbage)).is_none(), "{garbage:?}");
        }
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_needs_the_key() {
        let key = |byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let token = Token::make().expect("token");
        assert_eq!(token.successor(&key(1)).hash(), token.successor(&key(1)).hash());
        assert_ne!(token.successor(&key(1)).hash(), token.successor(&key(2)).hash());
        assert_ne!(token.successor(&key(1)).hash(), token.hash());
    }
}
