//! What is not the API itself: the landing page, the reference, the mailbox, health.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use contract::member::{Mail, VerifyEmail};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use kit::{Code, Fault, Lang};
use maud::Markup;
use serde::Serialize;

use crate::app::Shared;
use crate::call::Public;
use crate::input::{Ask, Form};
use crate::limit::SignUpDoor;
use crate::page;
use crate::problem::{Answer, tag};
use crate::reply::Found;

/// A page that the API document does not list.
type Page = (Method, &'static str, MethodRouter<Shared>);

/// Pages that are always there.
pub(crate) fn always() -> [Page; 8] {
    [
        (Method::GET, "/", get(landing)),
        (Method::GET, "/docs", get(reference)),
        (Method::GET, "/style.css", get(style)),
        (Method::GET, "/openapi.json", get(openapi)),
        (Method::GET, "/healthz", get(alive)),
        (Method::GET, "/readyz", get(ready)),
        (Method::GET, "/verify", get(ask_to_verify)),
        (Method::POST, "/verify", post(verify)),
    ]
}

/// The page that stands in for an SMTP server.
pub(crate) fn mailbox() -> [Page; 1] {
    [(Method::GET, "/dev/mail", get(mail))]
}

async fn landing(public: Public, State(app): State<Shared>) -> Answer<Response> {
    let lang = public.ctx().lang;
    Ok(html(lang, page::landing::render(lang, app.settings.mailbox)))
}

async fn reference(public: Public) -> Answer<Response> {
    let lang = public.ctx().lang;
    Ok(html(lang, page::reference::rendered(lang).clone()))
}

async fn style(_: Public) -> Answer<Response> {
    let cached = HeaderValue::from_static("public, max-age=3600");
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, cached)], page::STYLE).into_response())
}

async fn openapi(_: Public) -> Answer<Response> {
    let kind = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, kind)], page::reference::document()).into_response())
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process runs.
async fn alive(_: Public) -> Answer<Found<Health>> {
    Ok(Found(Health { status: "alive" }))
}

/// Every part has started, and none is being drained.
async fn ready(_: Public, State(app): State<Shared>) -> Answer<Found<Health>> {
    match app.ready.load(Ordering::Relaxed) {
        true => Ok(Found(Health { status: "ready" })),
        false => Err(Fault::new(Code::Unavailable).into()),
    }
}

async fn ask_to_verify(public: Public, Ask(wanted): Ask<VerifyEmail>) -> Answer<Response> {
    let lang = public.ctx().lang;
    Ok(html(lang, page::verify::ask(lang, &wanted.token)))
}

async fn verify(
    SignUpDoor(call): SignUpDoor,
    State(app): State<Shared>,
    Form(wanted): Form<VerifyEmail>,
) -> Answer<Response> {
    let lang = call.ctx.lang;
    let wanted = wanted.ok_or_else(|| Fault::new(Code::BadVerificationToken))?;
    Ok(match app.member.verify_email(&call.ctx, wanted).await {
        Ok(()) => html(lang, page::verify::done(lang)),
        Err(fault) if fault.code == Code::BadVerificationToken => {
            (StatusCode::UNPROCESSABLE_ENTITY, html(lang, page::verify::refused(lang, &fault))).into_response()
        }
        Err(fault) => return Err(fault.into()),
    })
}

#[derive(Serialize)]
struct Mailbox {
    items: Vec<Mail>,
}

/// For people as a page, for scripts (`Accept: application/json`) as JSON.
async fn mail(public: Public, headers: HeaderMap, State(app): State<Shared>) -> Answer<Response> {
    let items = app.member.mailbox(public.ctx(), ()).await?;
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/json") {
        return Ok(Found(Mailbox { items }).into_response());
    }
    let lang = public.ctx().lang;
    Ok(html(lang, page::mailbox::render(lang, &items)))
}

/// Own styles, own forms, nothing else: no script at all.
const CSP_PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

fn html(lang: Lang, page: Markup) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_LANGUAGE, HeaderValue::from_static(tag(lang))),
        (VARY, HeaderValue::from_static("accept-language")),
        (CONTENT_SECURITY_POLICY, CSP_PAGE),
    ];
    (headers, page.into_string()).into_response()
}
