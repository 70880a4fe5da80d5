//! Refusals as problem details (RFC 9457): the one place where a fault becomes an answer.
//!
//! A handler or extractor returns a [`Refusal`]; it travels to the edge inside the response, and the edge writes it
//! with the request's id and language. What only we should know is logged there, once, and never written.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kit::{Code, Ctx, Fault, FieldError, Kind, Lang, Result};
use serde::Serialize;

/// A fault on its way out.
#[derive(Clone)]
pub(crate) struct Refusal(pub(crate) Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(self);
        response
    }
}

/// What handlers return.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// Turns a response that carries `fault` into the problem that the client sees. Headers that are there stay.
pub(crate) fn write(fault: &Fault, ctx: &Ctx, response: &mut Response) {
    *response.status_mut() = status(fault);
    *response.body_mut() = Body::from(Bytes::from(document(fault, ctx)));
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(tag(ctx.lang)));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    if let Some(seconds) = retry_after_s(fault) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match fault.kind() {
        Kind::Unauthenticated => {
            let challenge = match fault.code {
                Code::TokenExpired => "Bearer realm=\"jangteo\", error=\"invalid_token\"",
                _ => "Bearer realm=\"jangteo\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        // RFC 9110 §15.5.6 wants the header even when nothing is allowed; the router fills it in.
        Kind::MethodNotAllowed if !headers.contains_key(ALLOW) => {
            headers.insert(ALLOW, HeaderValue::from_static(""));
        }
        _ => {}
    }
}

/// The language tag of texts in `lang`.
pub(crate) fn tag(lang: Lang) -> &'static str {
    match lang {
        Lang::Ko => "ko",
        Lang::En => "en",
    }
}

pub(crate) fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Where `code` is explained, relative to this server: the `type` of its problem.
pub(crate) fn type_of(code: Code) -> String {
    format!("/docs#problem-{code}")
}

/// What passes by itself and has no time of its own is worth another try after a second.
fn retry_after_s(fault: &Fault) -> Option<u32> {
    let passes = matches!(fault.kind(), Kind::Unavailable | Kind::TooMany) || fault.code == Code::IdempotencyInProgress;
    fault.retry_after_s.or(passes.then_some(1))
}

/// What every problem of one code begins with, and its title as JSON, per language. Being sold out is said thousands
/// of times a second: only the request id is new each time.
struct Beginning {
    head: String,
    title: String,
}

static BEGINNINGS: LazyLock<Vec<[Beginning; 2]>> = LazyLock::new(|| {
    let codes = Code::ALL.iter().copied().chain([Code::Unknown]);
    codes.map(|code| [beginning(code, Lang::Ko), beginning(code, Lang::En)]).collect()
});

fn beginning(code: Code, lang: Lang) -> Beginning {
    let title = json(code.title(lang));
    let (kind, status) = (json(&type_of(code)), code.kind().status());
    Beginning { head: format!("{{\"type\":{kind},\"title\":{title},\"status\":{status},\"code\":\"{code}\""), title }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Texts and plain structs: cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Members that facts may not overwrite.
const RESERVED: [&str; 7] = ["type", "title", "status", "code", "detail", "request_id", "errors"];

/// The problem document.
fn document(fault: &Fault, ctx: &Ctx) -> Vec<u8> {
    // An internal fault is answered as such, whatever it carries.
    let shown = fault.kind() != Kind::Internal;
    let code = if shown { fault.code } else { Code::Internal };
    let pair = BEGINNINGS.get(code as usize).or(BEGINNINGS.last());
    let beginning = pair.map(|[ko, en]| if ctx.lang == Lang::Ko { ko } else { en });
    let mut out = Vec::with_capacity(320);
    if let Some(beginning) = beginning {
        out.extend_from_slice(beginning.head.as_bytes());
        out.extend_from_slice(b",\"detail\":");
        match fault.fields.first() {
            Some(field) if shown => out.extend_from_slice(json(&detail(field, ctx.lang)).as_bytes()),
            _ => out.extend_from_slice(beginning.title.as_bytes()),
        }
    }
    out.extend_from_slice(b",\"request_id\":\"");
    // Letters, digits, `.`, `_`, `-`: see `RequestId`.
    out.extend_from_slice(ctx.request_id.as_str().as_bytes());
    out.push(b'"');
    if shown {
        extend(&mut out, fault, ctx.lang);
    }
    out.push(b'}');
    out
}

fn extend(out: &mut Vec<u8>, fault: &Fault, lang: Lang) {
    if !fault.fields.is_empty() {
        let fields: Vec<FieldError> = fault.fields.iter().map(|field| translated(field, lang)).collect();
        out.extend_from_slice(b",\"errors\":");
        out.extend_from_slice(json(&fields).as_bytes());
    }
    for (name, value) in fault.facts.iter().flat_map(|facts| facts.iter()) {
        if !RESERVED.contains(&name.as_str()) {
            out.push(b',');
            out.extend_from_slice(json(name).as_bytes());
            out.push(b':');
            out.extend_from_slice(json(value).as_bytes());
        }
    }
}

/// The first field error in one sentence.
fn detail(field: &FieldError, lang: Lang) -> String {
    let translated = translated(field, lang);
    match translated.pointer.is_empty() {
        true => translated.detail.into_owned(),
        false => format!("{}: {}", translated.pointer, translated.detail),
    }
}

fn translated(field: &FieldError, lang: Lang) -> FieldError {
    let detail = match lang {
        Lang::En => field.detail.clone(),
        Lang::Ko => korean(field),
    };
    FieldError { detail, ..field.clone() }
}

/// What is wrong with a field, in Korean. Reasons are stable; details of validation rules are matched by their words,
/// and one that is not known stays as it is.
fn korean(field: &FieldError) -> Cow<'static, str> {
    let by_reason = match &*field.reason {
        "taken" => "이미 사용 중입니다.",
        "unknown" => "존재하지 않습니다.",
        "cycle" => "자기 자신이나 하위 항목 아래로 옮길 수 없습니다.",
        "too_common" => "너무 흔한 비밀번호입니다.",
        "syntax" => "올바른 JSON이 아닙니다.",
        "unfinished" => "본문이 끝까지 도착하지 않았습니다.",
        "missing" => "필수 항목입니다.",
        "unknown_field" => "이 주소가 받지 않는 항목입니다.",
        "duplicate" => "두 번 이상 주어졌습니다.",
        "type" => "형식이 올바르지 않습니다.",
        "past" => "이미 지난 시각입니다.",
        "order" => "순서가 올바르지 않습니다.",
        _ => "",
    };
    if !by_reason.is_empty() {
        return by_reason.into();
    }
    let detail = &*field.detail;
    let rule = |prefix: &str, say: fn(&str) -> String| detail.strip_prefix(prefix).map(|n| Cow::Owned(say(n)));
    rule("length is lower than ", |n| format!("길이는 {n} 이상이어야 합니다."))
        .or_else(|| rule("length is greater than ", |n| format!("길이는 {n} 이하여야 합니다.")))
        .or_else(|| rule("lower than ", |n| format!("{n} 이상이어야 합니다.")))
        .or_else(|| rule("greater than ", |n| format!("{n} 이하여야 합니다.")))
        .unwrap_or_else(|| match detail {
            "at most 254 characters" => "254자 이하여야 합니다.".into(),
            "not an e-mail address" => "이메일 주소가 아닙니다.".into(),
            "8 to 128 characters" => "8자 이상 128자 이하여야 합니다.".into(),
            "1 to 50 characters" => "1자 이상 50자 이하여야 합니다.".into(),
            "1 to 100 characters" => "1자 이상 100자 이하여야 합니다.".into(),
            "not a Korean mobile number" => "한국 휴대전화 번호가 아닙니다.".into(),
            "must not contain the NUL character" => "NUL 문자는 쓸 수 없습니다.".into(),
            "not zero, and at most 1,000,000,000 either way" => "0이 아니고 ±1,000,000,000 이내여야 합니다.".into(),
            _ => field.detail.clone(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::RequestId;

    fn written(fault: &Fault, lang: Lang) -> serde_json::Value {
        let ctx = Ctx { lang, ..Ctx::new(RequestId::parse("req-1").expect("id")) };
        serde_json::from_slice(&document(fault, &ctx)).expect("JSON")
    }

    #[test]
    fn every_code_is_written_in_both_languages() {
        for code in Code::ALL {
            for lang in [Lang::Ko, Lang::En] {
                let problem = written(&Fault::new(*code), lang);
                assert_eq!(problem["code"], code.as_str());
                assert_eq!(problem["status"], code.kind().status());
                assert_eq!(problem["title"], code.title(lang));
                assert_eq!(problem["type"], type_of(*code));
                assert_eq!(problem["request_id"], "req-1");
            }
        }
    }

    #[test]
    fn facts_are_shown_but_overwrite_nothing() {
        let problem = written(&Fault::new(Code::PriceChanged).fact("total", 5).fact("status", 200), Lang::En);
        assert_eq!((&problem["total"], &problem["status"]), (&5.into(), &409.into()));
    }

    #[test]
    fn what_is_internal_stays_inside() {
        let fault = Fault::field("/secret", "x", "hunter2");
        let fault = Fault { code: Code::Internal, ..fault }.fact("password", "hunter2").context("hunter2");
        let unknown = Fault { code: Code::Unknown, ..fault.clone() };
        for fault in [fault, unknown] {
            let problem = written(&fault, Lang::En);
            assert_eq!(problem["code"], "internal");
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn field_errors_speak_the_readers_language() {
        let fault = Fault::field("/lines/0/quantity", "invalid", "greater than 99");
        assert_eq!(written(&fault, Lang::En)["errors"][0]["detail"], "greater than 99");
        assert_eq!(written(&fault, Lang::Ko)["errors"][0]["detail"], "99 이하여야 합니다.");
        assert_eq!(written(&fault, Lang::Ko)["errors"][0]["pointer"], "/lines/0/quantity");
    }
}
