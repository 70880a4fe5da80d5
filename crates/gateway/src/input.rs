//! What a request brings: bodies, queries, ids in paths, headers. Whatever is wrong with it becomes a problem that
//! says where, without repeating the value.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use contract::IdempotencyKey;
use garde::Validate;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kit::{Code, Fault, FieldError};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::app::{App, Shared};
use crate::call::Call;
use crate::problem::Refusal;

/// A JSON body that its own rules accept.
/// Errors: `unsupported_media_type`, `body_too_large`, `request_timeout`, `bad_json`, `invalid_fields`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + Validate<Context = ()>> FromRequest<Shared> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let call = Call::of(&parts, app)?;
        if !says_json(&parts.headers) {
            return Err(Fault::new(Code::UnsupportedMediaType).into());
        }
        let bytes = read(app, &call, body).await?;
        let value = parse::<T>(&bytes)?;
        contract::valid(&value)?;
        Ok(Self(value))
    }
}

/// What a page's form sent, within the limits of every body; absent when no form of ours sends that.
/// Errors: `body_too_large`, `request_timeout`, `bad_json` (it ended early).
pub(crate) struct Form<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned> FromRequest<Shared> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let call = Call::of(&parts, app)?;
        let bytes = read(app, &call, body).await?;
        let form = axum::Form::from_request(Request::from_parts(parts, Body::from(bytes)), app).await;
        Ok(Self(form.ok().map(|axum::Form(value)| value)))
    }
}

/// A query string that its own rules accept. Errors: `bad_query`.
pub(crate) struct Ask<T>(pub(crate) T);

impl<T: DeserializeOwned + Validate<Context = ()>> FromRequestParts<Shared> for Ask<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let Query(value) = query.map_err(|rejection| {
            let source = std::error::Error::source(&rejection).map(ToString::to_string).unwrap_or_default();
            // `name: what is wrong`, or only what is wrong when it is not about one name.
            let (pointer, message) = match source.split_once(": ") {
                Some((name, message)) if !name.contains(' ') => (pointer(name), message),
                _ => (String::new(), source.as_str()),
            };
            Fault { fields: vec![field_error(pointer, message)], ..Fault::new(Code::BadQuery) }
        })?;
        contract::valid(&value).map_err(|fault| Fault { code: Code::BadQuery, ..fault })?;
        Ok(Self(value))
    }
}

/// An id in the path. Errors: `bad_path`.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Fault::new(Code::BadPath).into())
    }
}

/// The idempotency key of an operation that must have one. Errors: `idempotency_key_missing`, `bad_header`.
pub(crate) struct Key(pub(crate) IdempotencyKey);

impl FromRequestParts<Shared> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let key = idempotency_key(&parts.headers)?;
        Ok(Self(key.ok_or_else(|| Fault::new(Code::IdempotencyKeyMissing))?))
    }
}

/// The idempotency key of an operation that can do without. Errors: `idempotency_key_missing` (not a key at all),
/// `bad_header`.
pub(crate) struct MaybeKey(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<Shared> for MaybeKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        Ok(Self(idempotency_key(&parts.headers)?))
    }
}

/// The version that the client read, from `If-Match: "3"`. Errors: `bad_header`.
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl FromRequestParts<Shared> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let Some(value) = only(&parts.headers, IF_MATCH.as_str())? else {
            return Ok(Self(None));
        };
        let version = value.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let version = version.and_then(|text| text.parse().ok()).ok_or_else(|| Fault::new(Code::BadHeader))?;
        Ok(Self(Some(version)))
    }
}

/// Documents the header of [`Key`].
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the derive only")]
pub(crate) struct KeyHeader {
    /// 1 to 300 visible characters that name this request. Sent again with the same body it gets the first answer
    /// again, marked `Idempotent-Replayed: true`.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 300, example = "0f4c7b1e-order-1")]
    key: String,
}

/// Documents the header of [`MaybeKey`].
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the derive only")]
pub(crate) struct MaybeKeyHeader {
    /// 1 to 300 visible characters that name this request. Sent again with the same body it gets the first answer
    /// again, marked `Idempotent-Replayed: true`.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 300, example = "0f4c7b1e-store-1")]
    key: Option<String>,
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Fault> {
    only(headers, "idempotency-key")?.map(IdempotencyKey::parse).transpose()
}

/// The one value of a header. Errors: `bad_header` when it stands twice.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Fault::new(Code::BadHeader));
    }
    // What is not ASCII is refused by whoever reads the text.
    Ok(Some(value.to_str().unwrap_or_default()))
}

fn says_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(app: &App, call: &Call, body: Body) -> Result<Bytes, Fault> {
    let bytes_max = app.settings.body_bytes_max;
    let too_large = || Fault::new(Code::BodyTooLarge).fact("bytes_max", bytes_max);
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let deadline = call.ctx.deadline.unwrap_or(call.started);
    match tokio::time::timeout_at(deadline.into(), Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(bad_json(String::new(), "unfinished", "the body ended early".into())),
        Err(_) => Err(Fault::new(Code::RequestTimeout)),
    }
}

/// Parses twice when it must: finding out where the error is costs more than parsing, and most bodies have none.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if !error.is_data() {
        let place = format!("not JSON at line {}, column {}", error.line(), error.column());
        return Err(bad_json(String::new(), "syntax", place));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => String::new(),
        Err(error) => segments(error.path()),
    };
    Err(Fault { fields: vec![field_error(path, &error.to_string())], ..Fault::new(Code::BadJson) })
}

fn bad_json(pointer: String, reason: &'static str, detail: String) -> Fault {
    let field = FieldError { pointer: pointer.into(), reason: reason.into(), detail: detail.into() };
    Fault { fields: vec![field], ..Fault::new(Code::BadJson) }
}

/// A path of serde as a JSON pointer.
fn segments(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => text.push_str(&pointer(&index.to_string())),
            Segment::Map { key } => text.push_str(&pointer(key)),
            Segment::Enum { variant } => text.push_str(&pointer(variant)),
            Segment::Unknown => {}
        }
    }
    text
}

/// Characters of a name that are repeated to the caller.
const NAME_CHARS_MAX: usize = 64;

/// One step of a JSON pointer (RFC 6901 §3).
fn pointer(name: &str) -> String {
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What serde says, without the value it says it about.
fn field_error(mut path: String, message: &str) -> FieldError {
    let message = message.split(" at line ").next().unwrap_or_default();
    let quoted = || message.split('`').nth(1).unwrap_or_default();
    let (reason, detail) = if message.starts_with("missing field") {
        path.push_str(&pointer(quoted()));
        ("missing", "this field is required".to_owned())
    } else if message.starts_with("unknown field") {
        if !path.ends_with(&pointer(quoted())) {
            path.push_str(&pointer(quoted()));
        }
        ("unknown_field", "this endpoint does not take this field".to_owned())
    } else if message.starts_with("duplicate field") {
        ("duplicate", "given twice".to_owned())
    } else if message.contains("UUID") {
        ("type", "expected a UUID".to_owned())
    } else if let Some((_, expected)) = message.rsplit_once("expected ") {
        ("type", format!("expected {expected}"))
    } else {
        ("type", "not a value that this field takes".to_owned())
    };
    FieldError { pointer: path.into(), reason: reason.into(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::order::{ListSales, PlaceBody};

    #[track_caller]
    fn check(body: &str, pointer: &str, reason: &str) {
        let fault = parse::<PlaceBody>(body.as_bytes()).expect_err(body);
        assert_eq!(fault.code, Code::BadJson, "{body}");
        assert_eq!((&*fault.fields[0].pointer, &*fault.fields[0].reason), (pointer, reason), "{body}");
        assert!(!fault.fields[0].detail.contains("kim@example.com"), "{:?}", fault.fields);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_pointed_at_and_not_repeated() {
        let id = "0190b5a0-0000-7000-8000-000000000000";
        let total = r#""total":{"amount":1,"currency":"KRW"}"#;
        let line = |rest: &str| format!(r#"{{"lines":[{{"option_id":"{id}"{rest}}}],{total}}}"#);
        check("", "", "syntax");
        check("{", "", "syntax");
        check("nonsense", "", "syntax");
        check(&format!("{}x", line(r#","quantity":1"#)), "", "syntax");
        check("[]", "", "type");
        check("\"kim@example.com\"", "", "type");
        check("{}", "/lines", "missing");
        check(&line(""), "/lines/0/quantity", "missing");
        check(&line(r#","quantity":"kim@example.com""#), "/lines/0/quantity", "type");
        check(&line(r#","quantity":1.5"#), "/lines/0/quantity", "type");
        check(&line(r#","quantity":99999999999999999999"#), "/lines/0/quantity", "type");
        check(&line(r#","quantity":1,"sale_id":"kim@example.com""#), "/lines/0/sale_id", "type");
        check(&line(r#","quantity":1,"price":1"#), "/lines/0/price", "unknown_field");
        check(&line(r#","quantity":1,"quantity":1"#), "/lines/0", "duplicate");
        check(&format!(r#"{{"lines":[],"a/b~":1,{total}}}"#), "/a~1b~0", "unknown_field");
        check(r#"{"lines":[],"total":{"amount":1,"currency":"kim@example.com"}}"#, "/total/currency", "type");
    }

    #[test]
    fn bytes_that_are_not_text_are_no_json() {
        let fault = parse::<PlaceBody>(b"{\"lines\":[{\"option_id\":\"\xff\xfe\"}]}").expect_err("not UTF-8");
        assert_eq!(fault.code, Code::BadJson);
        let deep = "[".repeat(100_000);
        assert_eq!(parse::<PlaceBody>(deep.as_bytes()).expect_err("deep").code, Code::BadJson);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_query_is_pointed_at() {
        for (query, pointer, reason) in [
            ("size=x", "/size", "type"),
            ("size=0", "/size", "invalid"),
            ("size=101", "/size", "invalid"),
            ("store=kim", "/store", "type"),
            ("sise=1", "/sise", "unknown_field"),
            ("size=1&size=2", "", "duplicate"),
        ] {
            let app = crate::tests::fake::app().await;
            let request = http::Request::get(format!("/?{query}")).body(()).expect("request");
            let (mut parts, ()) = request.into_parts();
            let Err(Refusal(fault)) = Ask::<ListSales>::from_request_parts(&mut parts, &app).await else {
                panic!("{query} was taken");
            };
            assert_eq!(fault.code, Code::BadQuery, "{query}");
            assert_eq!((&*fault.fields[0].pointer, &*fault.fields[0].reason), (pointer, reason), "{query}");
        }
    }

    #[test]
    fn only_json_says_it_is_json() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().expect("value"));
            assert_eq!(says_json(&headers), json, "{value}");
        }
    }
}
