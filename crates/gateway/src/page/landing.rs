//! The first page: what this is and where to go.

use kit::Lang;
use maud::{Markup, html};

use super::{Text, frame};

const WHAT: Text = Text::new(
    "판매자도 구매자도 많은 열린 장터입니다. 준비된 수량만큼만, 먼저 온 순서대로 팝니다.",
    "An open market: many sellers, many buyers. It sells exactly what there is, first come, first served.",
);
const REFERENCE: Text = Text::new("API 안내", "API reference");
const DOCUMENT: Text = Text::new("OpenAPI 문서", "OpenAPI document");
const ITEMS: Text = Text::new("상품 목록", "Items");
const SALES: Text = Text::new("한정 판매", "Limited sales");
const MAILBOX: Text = Text::new("개발용 우편함", "Development mailbox");

/// With a link to the mailbox when there is one.
pub(crate) fn render(lang: Lang, mailbox: bool) -> Markup {
    let content = html! {
        h1 { "Jangteo" span.soft { " · 장터" } }
        p { (WHAT.of(lang)) }
        ul {
            li { a href="/docs" { (REFERENCE.of(lang)) } }
            li { a href="/openapi.json" { (DOCUMENT.of(lang)) } }
            li { a href="/v1/items" { (ITEMS.of(lang)) } }
            li { a href="/v1/sales" { (SALES.of(lang)) } }
            @if mailbox {
                li { a href="/dev/mail" { (MAILBOX.of(lang)) } }
            }
        }
    };
    frame(lang, "Jangteo", &content)
}
