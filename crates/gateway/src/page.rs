//! The few pages of the edge, written on the server: no script, one small style sheet.

pub(crate) mod landing;
pub(crate) mod mailbox;
pub(crate) mod reference;
pub(crate) mod verify;

use kit::Lang;
use maud::{DOCTYPE, Markup, html};

use crate::problem::tag;

/// The style sheet, served at `/style.css`.
pub(crate) const STYLE: &str = include_str!("page/style.css");

/// One text in both languages.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(crate) ko: &'static str,
    pub(crate) en: &'static str,
}

impl Text {
    pub(crate) const fn new(ko: &'static str, en: &'static str) -> Self {
        Self { ko, en }
    }

    pub(crate) fn of(self, lang: Lang) -> &'static str {
        match lang {
            Lang::Ko => self.ko,
            Lang::En => self.en,
        }
    }
}

/// A whole page around `content`.
pub(crate) fn frame(lang: Lang, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(tag(lang)) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/style.css";
            }
            body { (content) }
        }
    }
}
