//! The reference: the OpenAPI document as a page. Written once per language and kept.

use std::sync::LazyLock;

use kit::{Code, Lang};
use maud::{Markup, html};
use serde_json::Value;

use super::{Text, frame};
use crate::openapi::{openapi, problems, roles};

/// The page in `lang`.
pub(crate) fn rendered(lang: Lang) -> &'static Markup {
    static KO: LazyLock<Markup> = LazyLock::new(|| render(Lang::Ko));
    static EN: LazyLock<Markup> = LazyLock::new(|| render(Lang::En));
    match lang {
        Lang::Ko => &KO,
        Lang::En => &EN,
    }
}

/// The document itself, as JSON text.
pub(crate) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());
    &DOCUMENT
}

const TITLE: Text = Text::new("API 안내", "API reference");
const CONTENTS: Text = Text::new("차례", "Contents");
const SCHEMAS: Text = Text::new("자료형", "Schemas");
const PROBLEMS: Text = Text::new("문제 코드", "Problem codes");
const PARAMETERS: Text = Text::new("매개변수", "Parameters");
const BODY: Text = Text::new("본문", "Body");
const ANSWERS: Text = Text::new("응답", "Answers");
const REQUIRED: Text = Text::new("필수", "required");
const FOR: Text = Text::new("권한", "For");
const ANY_MEMBER: Text = Text::new("로그인한 회원", "any member");
const NAME: Text = Text::new("이름", "Name");
const KIND: Text = Text::new("형식", "Type");
const MEANING: Text = Text::new("설명", "Meaning");
const CODE: Text = Text::new("코드", "Code");
const STATUS: Text = Text::new("상태", "Status");

/// One operation, ready to be shown.
struct Entry {
    id: String,
    method: String,
    path: String,
    tag: String,
    operation: Value,
    who: Option<Vec<String>>,
    problems: Vec<Code>,
}

fn render(lang: Lang) -> Markup {
    let entries = entries();
    let document: Value = serde_json::from_str(document()).unwrap_or_default();
    let tags: Vec<&str> =
        document["tags"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str()).collect();
    let content = html! {
        header {
            h1 { "Jangteo " (TITLE.of(lang)) }
            @for paragraph in text(&document["info"]["description"]).split("\n\n") {
                p { (inline(paragraph)) }
            }
            p { a href="/openapi.json" { "/openapi.json" } }
        }
        nav aria-label=(CONTENTS.of(lang)) {
            ul {
                @for tag in &tags { li { a href={ "#" (tag) } { (tag) } } }
                li { a href="#schemas" { (SCHEMAS.of(lang)) } }
                li { a href="#problems" { (PROBLEMS.of(lang)) } }
            }
        }
        main {
            @for tag in &tags {
                section id=(tag) {
                    h2 { (tag) }
                    @for entry in entries.iter().filter(|entry| entry.tag == *tag) { (operation(entry, lang)) }
                }
            }
            section id="schemas" {
                h2 { (SCHEMAS.of(lang)) }
                @for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
                    (component(name, schema, lang))
                }
            }
            (problem_codes(lang))
        }
    };
    frame(lang, TITLE.of(lang), &content)
}

fn entries() -> Vec<Entry> {
    let document = openapi();
    let mut entries = Vec::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in crate::openapi::operations(item) {
            entries.push(Entry {
                id: operation.operation_id.clone().unwrap_or_default(),
                method: method.to_string(),
                path: path.clone(),
                tag: operation.tags.iter().flatten().next().cloned().unwrap_or_default(),
                who: operation.security.as_ref().map(|_| roles(operation)),
                problems: problems(operation),
                operation: serde_json::to_value(operation).unwrap_or_default(),
            });
        }
    }
    entries
}

fn operation(entry: &Entry, lang: Lang) -> Markup {
    let operation = &entry.operation;
    html! {
        details id=(entry.id) {
            summary {
                span class={ "method " (entry.method.to_lowercase()) } { (entry.method) } " "
                code { (entry.path) } " " (text(&operation["summary"]))
            }
            div {
                @if let Some(description) = operation["description"].as_str() { p { (inline(description)) } }
                @if let Some(who) = &entry.who {
                    p.soft {
                        (FOR.of(lang)) ": "
                        @if who.is_empty() { (ANY_MEMBER.of(lang)) } @else { (who.join(", ")) }
                    }
                }
                (parameters(&operation["parameters"], lang))
                @if let Some(schema) = operation["requestBody"]["content"]["application/json"].get("schema") {
                    h3 { (BODY.of(lang)) }
                    p { (kind(schema)) }
                }
                (answers(&operation["responses"], lang))
                h3 { (PROBLEMS.of(lang)) }
                p {
                    @for (n, code) in entry.problems.iter().enumerate() {
                        @if n > 0 { ", " }
                        a href={ "#problem-" (code) } { (code) }
                    }
                }
            }
        }
    }
}

fn parameters(parameters: &Value, lang: Lang) -> Markup {
    let Some(parameters) = parameters.as_array().filter(|list| !list.is_empty()) else {
        return html! {};
    };
    html! {
        h3 { (PARAMETERS.of(lang)) }
        div.table { table {
            thead { tr { th { (NAME.of(lang)) } th { (KIND.of(lang)) } th { (MEANING.of(lang)) } } }
            tbody {
                @for parameter in parameters {
                    tr {
                        td {
                            code { (text(&parameter["name"])) }
                            span.soft { " " (text(&parameter["in"])) }
                            @if parameter["required"] == true { span.soft { " " (REQUIRED.of(lang)) } }
                        }
                        td { (kind(&parameter["schema"])) }
                        td { (inline(text(&parameter["description"]))) }
                    }
                }
            }
        } }
    }
}

/// Good answers only; the others are the problem codes.
fn answers(responses: &Value, lang: Lang) -> Markup {
    html! {
        h3 { (ANSWERS.of(lang)) }
        ul {
            @for (status, response) in responses.as_object().into_iter().flatten() {
                @if status.starts_with('2') {
                    li {
                        code { (status) } " " (text(&response["description"]))
                        @for (media, content) in response["content"].as_object().into_iter().flatten() {
                            " · " span.soft { (media) } " " (kind(&content["schema"]))
                        }
                    }
                }
            }
        }
    }
}

fn component(name: &str, schema: &Value, lang: Lang) -> Markup {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parts: Vec<&Value> = match schema["allOf"].as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![schema],
    };
    html! {
        details id={ "schema-" (name) } {
            summary { code { (name) } " " span.soft { (inline(text(&schema["description"]))) } }
            div {
                @for part in parts {
                    @if let Some(properties) = part["properties"].as_object() {
                        div.table { table {
                            thead { tr { th { (NAME.of(lang)) } th { (KIND.of(lang)) } th { (MEANING.of(lang)) } } }
                            tbody {
                                @for (property, schema) in properties {
                                    tr {
                                        td {
                                            code { (property) }
                                            @if required.contains(&property.as_str()) {
                                                span.soft { " " (REQUIRED.of(lang)) }
                                            }
                                        }
                                        td { (kind(schema)) (bounds(schema)) }
                                        td { (inline(text(&schema["description"]))) (example(schema)) }
                                    }
                                }
                            }
                        } }
                    } @else {
                        p { (kind(part)) }
                    }
                }
            }
        }
    }
}

/// Both languages stand here whatever the page's own is: people search for the text that they were shown.
fn problem_codes(lang: Lang) -> Markup {
    html! {
        section id="problems" {
            h2 { (PROBLEMS.of(lang)) }
            div.table { table {
                thead { tr { th { (CODE.of(lang)) } th { (STATUS.of(lang)) } th { "한국어" } th { "English" } } }
                tbody {
                    @for code in Code::ALL {
                        tr id={ "problem-" (code) } {
                            td { code { (code) } }
                            td { (code.kind().status()) }
                            td lang="ko" { (code.title(Lang::Ko)) }
                            td lang="en" { (code.title(Lang::En)) }
                        }
                    }
                }
            } }
        }
    }
}

/// The name of a schema's type, linked when it has a place of its own.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        return html! { @for (n, value) in values.iter().enumerate() { @if n > 0 { " | " } code { (value) } } };
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return html! { @for (n, choice) in choices.iter().enumerate() { @if n > 0 { " | " } (kind(choice)) } };
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    html! {
        (names.join(" | "))
        @if let Some(format) = schema["format"].as_str() { " (" (format) ")" }
        @if names.contains(&"array") { " [" (kind(&schema["items"])) "]" }
    }
}

fn bounds(schema: &Value) -> Markup {
    let pairs = [("minimum", "≥"), ("maximum", "≤"), ("minLength", "≥"), ("maxLength", "≤"), ("minItems", "≥")];
    let pairs = pairs.into_iter().chain([("maxItems", "≤")]);
    let said: Vec<String> =
        pairs.filter_map(|(name, sign)| Some(format!("{sign} {}", schema.get(name)?.as_f64()?))).collect();
    html! { @if !said.is_empty() { br; span.soft { (said.join(", ")) } } }
}

fn example(schema: &Value) -> Markup {
    let example = match schema.get("example") {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => return html! {},
    };
    html! { " " code { (example) } }
}

/// Text in which back-ticks make code.
fn inline(text: &str) -> Markup {
    html! {
        @for (n, piece) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
