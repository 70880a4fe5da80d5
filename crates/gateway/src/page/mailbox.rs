//! Mails that would have been sent, for whoever develops without an SMTP server.

use contract::member::Mail;
use kit::Lang;
use maud::{Markup, html};

use super::{Text, frame};

const TITLE: Text = Text::new("개발용 우편함", "Development mailbox");
const EMPTY: Text = Text::new("아직 메일이 없습니다.", "No mail yet.");

pub(crate) fn render(lang: Lang, mails: &[Mail]) -> Markup {
    let content = html! {
        h1 { (TITLE.of(lang)) }
        @if mails.is_empty() {
            p.soft { (EMPTY.of(lang)) }
        }
        @for mail in mails {
            article {
                h2 { (mail.subject) }
                p.soft { (mail.to.expose()) " · " (mail.sent_at) }
                pre {
                    @for word in mail.text.expose().split_inclusive(char::is_whitespace) {
                        @if word.starts_with("http") { a href=(word.trim_end()) { (word) } } @else { (word) }
                    }
                }
            }
        }
    };
    frame(lang, TITLE.of(lang), &content)
}
