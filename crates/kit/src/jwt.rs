//! Access tokens: JWT (RFC 7519) in the access-token profile of RFC 9068, signed with Ed25519 and nothing else.
//!
//! One algorithm, keys only from our own key set, no header that names a key elsewhere: the classic forgeries
//! (`alg` confusion, `none`, `jku`, `x5u`, `jwk`, `crit`) have nothing to hold on to.

use std::collections::HashMap;
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::ctx::Role;
use crate::fault::{Code, Fault};
use crate::id::{MemberId, SessionId};

const TYPE: &str = "at+jwt";

/// Tokens longer than this are refused before they are looked at.
pub const TOKEN_BYTES_MAX: usize = 2_048;

/// How far ahead the clock of whoever signed may be.
const CLOCKS_APART_MS: i64 = 60_000;

/// What an access token says. Every field is required.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: MemberId,
    pub sid: SessionId,
    pub role: Role,
    /// The member's e-mail address was verified when the token was made.
    pub ver: bool,
    /// Seconds since the epoch.
    pub iat: i64,
    /// Seconds since the epoch; from then on the token is refused.
    pub exp: i64,
}

/// The public half of a signing key, as published (RFC 8037 JWK).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublicKey {
    pub kty: String,
    pub crv: String,
    pub kid: String,
    #[serde(rename = "use")]
    pub use_: String,
    pub alg: String,
    /// The key, base64url.
    pub x: String,
}

/// A key that signs.
pub struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    public: PublicKey,
}

impl SigningKey {
    /// A fresh key, as PKCS #8.
    pub fn generate_pkcs8() -> Result<Vec<u8>, Fault> {
        let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
            .map_err(|_| Fault::internal("no randomness for a signing key"))?;
        Ok(document.as_ref().to_vec())
    }

    pub fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Self, Fault> {
        use base64::Engine as _;
        install_ring();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|e| Fault::internal(format!("signing key {kid}: {e}")))?;
        let public = PublicKey {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            kid: kid.into(),
            use_: "sig".into(),
            alg: "EdDSA".into(),
            x: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        };
        Ok(Self { kid: kid.into(), encoding: EncodingKey::from_ed_der(pkcs8), public })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn sign(&self, claims: &Claims) -> Result<String, Fault> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.into());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(|e| Fault::internal(format!("signing: {e}")))
    }
}

/// The keys that are believed, and whose tokens for whom.
#[derive(Clone)]
pub struct KeySet {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl KeySet {
    pub fn new(keys: &[PublicKey], issuer: &str, audience: &str) -> Result<Self, Fault> {
        install_ring();
        let mut set = HashMap::new();
        for key in keys {
            let decoding = DecodingKey::from_ed_components(&key.x)
                .map_err(|e| Fault::internal(format!("public key {}: {e}", key.kid)))?;
            set.insert(key.kid.clone(), decoding);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The market's clock judges expiry, not the machine's: see `verify`.
        validation.validate_exp = false;
        Ok(Self { keys: set, validation })
    }

    pub fn knows(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The claims of a token that is genuine and alive at `now`.
    /// Errors: `unauthenticated` for anything forged or foreign, `token_expired`.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, Fault> {
        let refused = || Fault::new(Code::Unauthenticated);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused())?;
        let points_elsewhere =
            header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some();
        if header.typ.as_deref() != Some(TYPE) || points_elsewhere || header.crit.is_some() {
            return Err(refused());
        }
        let key = header.kid.as_deref().and_then(|kid| self.keys.get(kid)).ok_or_else(refused)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).map_err(|_| refused())?.claims;
        claims.check_times(now)?;
        Ok(claims)
    }
}

impl Claims {
    /// Errors: `unauthenticated` when issued in the future, `token_expired`.
    pub fn check_times(&self, now: Millis) -> Result<(), Fault> {
        if self.iat.saturating_mul(1000) > now.plus_ms(CLOCKS_APART_MS).0 {
            return Err(Fault::new(Code::Unauthenticated));
        }
        match self.exp.saturating_mul(1000) > now.0 {
            true => Ok(()),
            false => Err(Fault::new(Code::TokenExpired)),
        }
    }
}

/// The `kid` a token names, without believing it. For deciding whether to fetch newer keys.
pub fn named_key(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    jsonwebtoken::decode_header(token).ok()?.kid
}

struct Ed25519Signer(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// jsonwebtoken ships no ring backend, and its own two would bring a second TLS provider or RSA into the tree.
fn install_ring() {
    static ONCE: Once = Once::new();
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(key.as_bytes())
                    .map_err(|_| jsonwebtoken::errors::ErrorKind::InvalidEddsaKey)?;
                Ok(Box::new(Ed25519Signer(pair)))
            }
            _ => Err(jsonwebtoken::errors::ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::EdDSA => {
                let public = UnparsedPublicKey::new(&ED25519, key.try_get_as_bytes()?.to_vec());
                Ok(Box::new(Ed25519Verifier(public)))
            }
            _ => Err(jsonwebtoken::errors::ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // A second provider would be a bug of ours; the first one stays.
        let _ = RING.install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Ids as _, SystemIds};

    fn claims() -> Claims {
        Claims {
            iss: "jangteo".into(),
            aud: "market".into(),
            sub: MemberId(SystemIds.next()),
            sid: SessionId(SystemIds.next()),
            role: Role::Buyer,
            ver: true,
            iat: 1_000,
            exp: 1_600,
        }
    }

    #[test]
    fn a_genuine_token_lives_until_its_last_millisecond() {
        let key = SigningKey::from_pkcs8("a", &SigningKey::generate_pkcs8().expect("key")).expect("key");
        let set = KeySet::new(&[key.public().clone()], "jangteo", "market").expect("set");
        let token = key.sign(&claims()).expect("token");
        assert_eq!(set.verify(&token, Millis(1_599_999)).expect("alive").role, Role::Buyer);
        assert_eq!(set.verify(&token, Millis(1_600_000)).expect_err("expired").code, Code::TokenExpired);
    }

    #[test]
    fn foreign_issuer_audience_key_and_type_are_refused() {
        let key = SigningKey::from_pkcs8("a", &SigningKey::generate_pkcs8().expect("key")).expect("key");
        let twin = SigningKey::from_pkcs8("a", &SigningKey::generate_pkcs8().expect("key")).expect("key");
        let set = KeySet::new(&[key.public().clone()], "jangteo", "market").expect("set");
        let refused = |token: &str| set.verify(token, Millis(1_100_000)).expect_err("forged").code;
        for bad in [Claims { iss: "x".into(), ..claims() }, Claims { aud: "x".into(), ..claims() }] {
            assert_eq!(refused(&key.sign(&bad).expect("token")), Code::Unauthenticated);
        }
        assert_eq!(refused(&twin.sign(&claims()).expect("token")), Code::Unauthenticated);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("a".into());
        let typed_jwt = jsonwebtoken::encode(&header, &claims(), &key.encoding).expect("token");
        assert_eq!(refused(&typed_jwt), Code::Unauthenticated);
    }
}
