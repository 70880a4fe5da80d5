//! Where the link of a verification mail leads. Opening it changes nothing (mail programs open links to look at them);
//! the button does.

use kit::{Fault, Lang, Secret};
use maud::{Markup, html};

use super::{Text, frame};

const TITLE: Text = Text::new("이메일 주소 확인", "Verify your e-mail address");
const ASK: Text = Text::new("아래 버튼을 누르면 확인이 끝납니다.", "Press the button, and it is done.");
const BUTTON: Text = Text::new("확인", "Verify");
const DONE: Text = Text::new("확인되었습니다. 이제 로그인해 주세요.", "Verified. You can log in now.");

pub(crate) fn ask(lang: Lang, token: &Secret) -> Markup {
    let content = html! {
        h1 { (TITLE.of(lang)) }
        p { (ASK.of(lang)) }
        form method="post" action="/verify" {
            input type="hidden" name="token" value=(token.expose());
            button { (BUTTON.of(lang)) }
        }
    };
    frame(lang, TITLE.of(lang), &content)
}

pub(crate) fn done(lang: Lang) -> Markup {
    let content = html! {
        h1 { (TITLE.of(lang)) }
        p { (DONE.of(lang)) }
    };
    frame(lang, TITLE.of(lang), &content)
}

pub(crate) fn refused(lang: Lang, fault: &Fault) -> Markup {
    let content = html! {
        h1 { (TITLE.of(lang)) }
        p { (fault.code.title(lang)) }
    };
    frame(lang, TITLE.of(lang), &content)
}
