//! Short texts for people, in both languages. (Mails have theirs in [`crate::mail`].)

use kit::Lang;

pub(crate) fn password_too_common(lang: Lang) -> &'static str {
    match lang {
        Lang::Ko => "너무 흔한 비밀번호입니다",
        Lang::En => "among the most common passwords",
    }
}

pub(crate) fn password_contains_email(lang: Lang) -> &'static str {
    match lang {
        Lang::Ko => "비밀번호에 이메일 아이디가 들어 있습니다",
        Lang::En => "contains the name part of the e-mail address",
    }
}

pub(crate) fn phone_taken(lang: Lang) -> &'static str {
    match lang {
        Lang::Ko => "이미 등록된 전화번호입니다",
        Lang::En => "another member has this phone number",
    }
}
