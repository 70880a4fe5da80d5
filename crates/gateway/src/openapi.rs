//! The OpenAPI 3.1 document: what the handlers declare, completed with what is true of all of them.
//!
//! A handler declares the problems of its own (`x-problems`); what follows from its shape (a body can be bad JSON, a
//! token can be missing) is added here, so that it cannot be forgotten.

use std::collections::BTreeMap;

use contract::catalog::ItemSort;
use contract::order::OrderState;
use http::Method;
use kit::{Code, FieldError, Lang};
use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};

use crate::problem::type_of;
use crate::route;

/// The document of the API. Rehearsal routes are not part of it.
pub fn openapi() -> OpenApi {
    let mut document = route::api().to_openapi();
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations_mut(item) {
            complete(&method, operation);
        }
    }
    document
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Jangteo", description = ABOUT, license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/")),
    tags(
        (name = "Members", description = "Sign-up, verification, the own account"),
        (name = "Sessions", description = "Log-in, tokens, keys"),
        (name = "Stores", description = "Stores of sellers"),
        (name = "Items", description = "Items and their options"),
        (name = "Categories", description = "The category tree"),
        (name = "Stock", description = "Stock, for its seller"),
        (name = "Availability", description = "What can be bought now"),
        (name = "Sales", description = "Limited sales"),
        (name = "Orders", description = "Orders and their holds"),
        (name = "Wallet", description = "Wallets"),
    ),
    components(schemas(Problem, ItemSort, OrderState))
)]
struct Frame;

const ABOUT: &str = "\
An open market: many sellers, many buyers, and now and then a thousand people who want the same hundred things in the \
same second.

Bodies are JSON; unknown fields are refused. Times are RFC 3339, amounts are whole minor units. Lists are paged by \
cursor: give `next` of a page back as `cursor`. Failures are problem details (RFC 9457) with a stable `code`, in \
Korean or English by `Accept-Language`. Every answer carries `x-request-id`; send one to choose it. `RateLimit` and \
`RateLimit-Policy` say how much may still be asked. Operations that take an `Idempotency-Key` may be sent again with \
the same key and body, and have their effect once.";

/// The document before any path is in it.
pub(crate) fn frame() -> OpenApi {
    let mut document = Frame::openapi();
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token of a session. It lives ten minutes."))
        .build();
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("token".into(), RefOr::T(SecurityScheme::Http(scheme)));
    document
}

/// The methods that a path answers.
pub(crate) fn methods(item: &PathItem) -> Vec<Method> {
    operations(item).into_iter().map(|(method, _)| method).collect()
}

pub(crate) fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?))).collect()
}

fn operations_mut(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// A failure (RFC 9457). Some codes carry further members, such as the new `total` of `price_changed`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `problem.rs` writes")]
struct Problem {
    /// Where the code is explained.
    #[schema(rename = "type", example = "/docs#problem-sold_out")]
    kind: String,
    /// In the language that was asked for.
    #[schema(example = "품절되었습니다.")]
    title: String,
    #[schema(example = 409)]
    status: u16,
    code: Code,
    detail: String,
    /// Say it when you ask for help.
    #[schema(example = "0190b5a000007000800000000000000a")]
    request_id: String,
    /// What is wrong with which field.
    errors: Option<Vec<FieldError>>,
}

fn complete(method: &Method, operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in problems(operation) {
        by_status.entry(code.kind().status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem_response(status, &codes)));
    }
    let keyed = parameter(operation, ParameterIn::Header, Some("Idempotency-Key"));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let header = |text: &str| RefOr::T(HeaderBuilder::new().description(Some(text)).build());
        response.headers.insert("x-request-id".into(), header("The id of this request"));
        if status == "201" && *method == Method::POST {
            response.headers.insert("Location".into(), header("Where the new thing is"));
        }
        if keyed && status.starts_with('2') {
            let text = "`true` when this is the first answer again";
            response.headers.insert("Idempotent-Replayed".into(), header(text));
        }
    }
}

/// Every problem that the operation may answer with.
pub(crate) fn problems(operation: &Operation) -> Vec<Code> {
    let mut codes =
        vec![Code::RateLimited, Code::Overloaded, Code::Unavailable, Code::DeadlineExceeded, Code::Internal];
    if operation.security.is_some() {
        codes.extend([Code::Unauthenticated, Code::TokenExpired]);
    }
    let roles = roles(operation);
    if !roles.is_empty() {
        codes.push(Code::Forbidden);
    }
    if roles.iter().any(|role| role == "buyer" || role == "seller") {
        codes.push(Code::EmailNotVerified);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::BadJson, Code::InvalidFields, Code::BodyTooLarge]);
        codes.extend([Code::UnsupportedMediaType, Code::RequestTimeout]);
    }
    if parameter(operation, ParameterIn::Query, None) {
        codes.push(Code::BadQuery);
    }
    if parameter(operation, ParameterIn::Path, None) {
        codes.push(Code::BadPath);
    }
    if parameter(operation, ParameterIn::Header, Some("Idempotency-Key")) {
        codes.extend([Code::IdempotencyKeyMissing, Code::IdempotencyKeyReused]);
        codes.extend([Code::IdempotencyInProgress, Code::BadHeader]);
    }
    for code in declared(operation) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes
}

/// The roles that may call the operation; empty when any member or nobody may.
pub(crate) fn roles(operation: &Operation) -> Vec<String> {
    let requirements = serde_json::to_value(&operation.security).unwrap_or_default();
    let lists = requirements.as_array().into_iter().flatten().filter_map(|one| one["token"].as_array());
    lists.flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect()
}

/// The names in `x-problems`.
pub(crate) fn declared_names(operation: &Operation) -> Vec<String> {
    let listed = operation.extensions.as_ref().and_then(|extensions| extensions.get("x-problems"));
    let names = listed.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn declared(operation: &Operation) -> Vec<Code> {
    let known = |name: &String| Code::ALL.iter().copied().find(|code| code.as_str() == name);
    declared_names(operation).iter().filter_map(known).collect()
}

fn parameter(operation: &Operation, place: ParameterIn, name: Option<&str>) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == place && name.is_none_or(|name| parameter.name == name),
        RefOr::Ref(_) => false,
    })
}

fn problem_response(status: u16, codes: &[Code]) -> Response {
    let names: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.title(Lang::En))).collect();
    let examples = codes.iter().map(|code| {
        let body = json!({
            "type": type_of(*code), "title": code.title(Lang::En), "status": status, "code": code,
            "detail": code.title(Lang::En), "request_id": "0190b5a000007000800000000000000a",
        });
        (code.to_string(), RefOr::T(utoipa::openapi::example::ExampleBuilder::new().value(Some(body)).build()))
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples.collect::<Vec<_>>())
        .build();
    let mut response =
        ResponseBuilder::new().description(names.join("\n\n")).content("application/problem+json", content).build();
    let mut header = |name: &str, text: &str| {
        response.headers.insert(name.into(), RefOr::T(HeaderBuilder::new().description(Some(text)).build()));
    };
    match status {
        429 | 503 => header("Retry-After", "Seconds to wait before the next try"),
        401 => header("WWW-Authenticate", "How to sign in"),
        _ => {}
    }
    response
}
