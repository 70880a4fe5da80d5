//! Tokens that are not what they say: each one is refused, alike, whatever is wrong with it.

use std::sync::atomic::Ordering;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use contract::member::revoked_key;
use http::{Request, StatusCode};
use kit::Role;
use kit::jwt::SigningKey;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::fake::{Reply, World, key};

/// A key whose private half the test knows, so that it can sign what our own code never would.
struct Forger {
    pair: Ed25519KeyPair,
    signing: SigningKey,
}

impl Forger {
    fn new() -> Self {
        let pkcs8 = SigningKey::generate_pkcs8().expect("key");
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("key");
        Self { pair, signing: SigningKey::from_pkcs8("one", &pkcs8).expect("key") }
    }

    /// A genuine signature over whatever `header` and `claims` say.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn with(value: &Value, name: &str, new: Value) -> Value {
    let mut value = value.clone();
    value[name] = new;
    value
}

fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().expect("object").remove(name);
    value
}

async fn ask(world: &World, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).expect("request")).await
}

/// A market's own token in parts, and the key it is signed with: what every forgery starts from.
struct Good {
    forger: Forger,
    header: Value,
    claims: Value,
}

/// A name for what is wrong, and the token.
type Forgery = (String, String);

impl Good {
    fn token(&self) -> String {
        self.forger.sign(&self.header, &self.claims)
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        self.forger.sign(&with(&self.header, name, value), &self.claims)
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        self.forger.sign(&self.header, &with(&self.claims, name, value))
    }

    fn algorithms(&self) -> Vec<Forgery> {
        let unsigned = |alg: &str| message(&with(&self.header, "alg", json!(alg)), &self.claims);
        let public = self.forger.pair.public_key().as_ref();
        let hs256 = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public);
        let tag = ring::hmac::sign(&hs256, unsigned("HS256").as_bytes());
        let mut all: Vec<Forgery> = vec![
            ("alg none, no signature".into(), format!("{}.", unsigned("none"))),
            ("alg None, no signature".into(), format!("{}.", unsigned("None"))),
            ("alg none, signed".into(), self.with_header("alg", json!("none"))),
            ("HS256 with the public key".into(), format!("{}.{}", unsigned("HS256"), URL_SAFE_NO_PAD.encode(tag))),
            ("no alg".into(), self.forger.sign(&without(&self.header, "alg"), &self.claims)),
        ];
        for alg in ["HS512", "RS256", "PS256", "ES256", "eddsa", ""] {
            all.push((format!("alg {alg:?}"), self.with_header("alg", json!(alg))));
        }
        all
    }

    fn keys(&self) -> Vec<Forgery> {
        let stranger = Forger::new();
        let x = URL_SAFE_NO_PAD.encode(stranger.pair.public_key());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let own = with(&self.header, "jwk", jwk.clone());
        let mut all: Vec<Forgery> = vec![
            ("another key under the same kid".into(), stranger.sign(&self.header, &self.claims)),
            ("a key of the forger's own in the header".into(), stranger.sign(&own, &self.claims)),
            ("an unknown kid".into(), self.with_header("kid", json!("two"))),
            ("no kid".into(), self.forger.sign(&without(&self.header, "kid"), &self.claims)),
            ("a kid that is a path".into(), self.with_header("kid", json!("../../one"))),
            ("a kid that is a number".into(), self.with_header("kid", json!(1))),
            ("no typ".into(), self.forger.sign(&without(&self.header, "typ"), &self.claims)),
        ];
        for (name, value) in [
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/cert.pem")),
            ("jwk", jwk),
            ("x5c", json!(["AAAA"])),
            ("crit", json!(["exp"])),
            ("typ", json!("JWT")),
            ("typ", json!("rt+jwt")),
            ("typ", json!("")),
            ("typ", Value::Null),
        ] {
            all.push((format!("header {name} = {value}"), self.with_header(name, value)));
        }
        all
    }

    fn claims(&self) -> Vec<Forgery> {
        let now_s = self.claims["iat"].as_i64().expect("time");
        let mut all: Vec<Forgery> =
            vec![("claims that are a list".into(), self.forger.sign(&self.header, &json!([self.claims])))];
        for name in ["iss", "aud", "sub", "sid", "role", "ver", "iat", "exp"] {
            let token = self.forger.sign(&self.header, &without(&self.claims, name));
            all.push((format!("without {name}"), token));
        }
        for (name, value) in [
            ("iss", json!("evil")),
            ("aud", json!("elsewhere")),
            ("sub", json!("not-an-id")),
            ("sub", json!(7)),
            ("sid", json!(["a"])),
            ("role", json!("god")),
            ("role", json!(["buyer", "admin"])),
            ("ver", json!("true")),
            ("ver", json!(1)),
            ("iat", json!(now_s + 3_600)),
            ("iat", json!("now")),
            ("exp", json!("never")),
            ("exp", json!({})),
            ("exp", json!(1e300)),
        ] {
            all.push((format!("{name} = {value}"), self.with_claim(name, value)));
        }
        all
    }

    fn shapes(&self) -> Vec<Forgery> {
        let good = self.token();
        let (signed, signature) = good.rsplit_once('.').expect("token");
        let (head, body) = signed.split_once('.').expect("token");
        let raw = URL_SAFE_NO_PAD.decode(signature).expect("signature");
        let other = self.with_claim("role", json!("admin"));
        let other_signature = other.rsplit_once('.').expect("token").1;
        let admin = URL_SAFE_NO_PAD.encode(with(&self.claims, "role", json!("admin")).to_string());
        let signed_by = |signature: String| format!("{signed}.{signature}");
        let all = [
            ("truncated", good[..good.len() - 10].to_owned()),
            ("without a signature", signed.to_owned()),
            ("an empty signature", format!("{signed}.")),
            ("an extra part", format!("{good}.{signature}")),
            ("an encrypted token's five parts", format!("{good}.a.b")),
            ("the signature of another message", signed_by(other_signature.to_owned())),
            ("claims swapped under a signature", format!("{head}.{admin}.{signature}")),
            ("a padded signature", signed_by(URL_SAFE.encode(&raw))),
            ("a padded signature in the standard alphabet", signed_by(STANDARD.encode(&raw))),
            ("a signature of zeros", signed_by(URL_SAFE_NO_PAD.encode([0_u8; 64]))),
            ("a signature with a byte too many", signed_by(URL_SAFE_NO_PAD.encode([&raw[..], &[0]].concat()))),
            ("a padded header", format!("{head}=.{body}.{signature}")),
            ("too long", self.with_claim("more", json!("x".repeat(3_000)))),
            ("no base64 at all", "a.b.c".into()),
            ("dots only", "..".into()),
        ];
        all.map(|(name, token)| (name.to_owned(), token)).into()
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new();
    let good = Good {
        forger: Forger::new(),
        header: json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "one" }),
        claims: serde_json::to_value(world.claims(Role::Buyer)).expect("claims"),
    };
    let corpus = [good.algorithms(), good.keys(), good.claims(), good.shapes()].concat();
    assert!(corpus.len() >= 20);
    let token = good.token();
    *world.fake.keys.lock() = vec![good.forger.signing];
    let reply = ask(&world, "/v1/wallet", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(reply.status, StatusCode::OK, "the corpus must start from a token that works: {reply:?}");
    for (name, token) in &corpus {
        let reply = ask(&world, "/v1/wallet", &[("authorization", &format!("Bearer {token}"))]).await;
        assert_eq!(reply.problem(), "unauthenticated", "{name}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{name}");
        // Where nobody need sign in, a bad token is still not ignored.
        let path = "/v1/items/0190b5a0-0000-7000-8000-000000000000";
        let reply = ask(&world, path, &[("authorization", &format!("Bearer {token}"))]).await;
        assert_eq!(reply.problem(), "unauthenticated", "{name}");
    }
}

#[tokio::test]
async fn tokens_are_taken_from_one_place_only() {
    let world = World::new();
    let good = world.token(Role::Buyer);
    let bearer = format!("Bearer {good}");
    for (name, path, headers) in [
        ("no header", "/v1/wallet".to_owned(), vec![]),
        ("another scheme", "/v1/wallet".into(), vec![("authorization", format!("Basic {good}"))]),
        ("no scheme", "/v1/wallet".into(), vec![("authorization", good.clone())]),
        ("nothing after the scheme", "/v1/wallet".into(), vec![("authorization", "Bearer ".into())]),
        ("two spaces", "/v1/wallet".into(), vec![("authorization", format!("Bearer  {good}"))]),
        (
            "two headers",
            "/v1/wallet".into(),
            vec![("authorization", bearer.clone()), ("authorization", bearer.clone())],
        ),
        ("two tokens", "/v1/wallet".into(), vec![("authorization", format!("{bearer}, {bearer}"))]),
        ("the query", format!("/v1/wallet?access_token={good}"), vec![]),
        ("a cookie", "/v1/wallet".into(), vec![("cookie", format!("token={good}"))]),
        ("a proxy's header", "/v1/wallet".into(), vec![("proxy-authorization", bearer.clone())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = ask(&world, &path, &headers).await;
        assert_eq!(reply.problem(), "unauthenticated", "{name}");
    }
    let lower = format!("bearer {good}");
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &lower)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_lives_until_it_expires_or_its_session_ends() {
    let world = World::new();
    let claims = world.claims(Role::Buyer);
    let bearer = format!("Bearer {}", world.sign(&claims));
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.status, StatusCode::OK);
    world.kv.set(&revoked_key(claims.sid), "1", 60_000).await.expect("set");
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.problem(), "unauthenticated");

    let bearer = format!("Bearer {}", world.token(Role::Buyer));
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.status, StatusCode::OK);
    world.clock.advance_ms(600_000);
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.problem(), "token_expired");
}

#[tokio::test]
async fn roles_and_verification_are_held() {
    let world = World::new();
    let id = "0190b5a0-0000-7000-8000-000000000000";
    for (role, path, code) in [
        (Role::Seller, "/v1/wallet".to_owned(), "forbidden"),
        (Role::Admin, "/v1/wallet".into(), "forbidden"),
        (Role::Buyer, format!("/v1/options/{id}/stock"), "forbidden"),
        (Role::Admin, format!("/v1/options/{id}/stock"), "forbidden"),
        (Role::Seller, format!("/v1/options/{id}/stock"), "not_found"),
    ] {
        let bearer = format!("Bearer {}", world.token(role));
        assert_eq!(ask(&world, &path, &[("authorization", &bearer)]).await.problem(), code, "{role:?} {path}");
    }
    let unverified = kit::jwt::Claims { ver: false, ..world.claims(Role::Buyer) };
    let bearer = format!("Bearer {}", world.sign(&unverified));
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.problem(), "email_not_verified");
    assert_eq!(ask(&world, "/v1/me", &[("authorization", &bearer)]).await.problem(), "not_found", "may ask who it is");
}

#[tokio::test]
async fn new_keys_are_fetched_and_strangers_cannot_make_us_ask() {
    let world = World::new();
    let old = format!("Bearer {}", world.token(Role::Buyer));
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &old)]).await.status, StatusCode::OK);
    world.fake.keys.lock().insert(0, key("two"));
    let new = format!("Bearer {}", world.token(Role::Buyer));
    for token in [&new, &old] {
        let reply = ask(&world, "/v1/wallet", &[("authorization", token)]).await;
        assert_eq!(reply.status, StatusCode::OK, "both keys are good while they overlap: {reply:?}");
    }
    let stranger = key("three").sign(&world.claims(Role::Buyer)).expect("token");
    for _ in 0..50 {
        let reply = ask(&world, "/v1/wallet", &[("authorization", &format!("Bearer {stranger}"))]).await;
        assert_eq!(reply.problem(), "unauthenticated");
    }
    assert_eq!(world.fake.keys_asked.load(Ordering::SeqCst), 2, "once at first, once for the new key");
}

#[tokio::test]
async fn without_keys_nobody_is_judged() {
    let world = World::new();
    *world.fake.member_down.lock() = true;
    let bearer = format!("Bearer {}", world.token(Role::Buyer));
    assert_eq!(ask(&world, "/v1/wallet", &[("authorization", &bearer)]).await.problem(), "unavailable");
    assert_eq!(ask(&world, "/v1/items", &[]).await.status, StatusCode::OK, "those who need no token go on");
}
