//! What mails say, in both languages. Plain text; what a person wrote is never repeated in them.

use kit::{Lang, Personal, Secret};

pub(crate) struct Letter {
    pub subject: String,
    /// Personal, because it may hold a token.
    pub text: Personal,
}

impl Letter {
    /// Asks whoever reads the mailbox to say that it is theirs.
    pub(crate) fn verification(lang: Lang, public_url: &str, token: &Secret, hours: i64) -> Self {
        let token = token.expose();
        let link = format!("{public_url}/verify?token={token}");
        let (subject, text) = match lang {
            Lang::Ko => (
                "[장터] 이메일 주소를 확인해 주세요",
                format!(
                    "장터에 가입해 주셔서 감사합니다.\n\n\
                     아래 링크를 열어 이메일 주소를 확인해 주세요. 링크는 {hours}시간 동안 한 번만 쓸 수 있습니다.\n\n\
                     {link}\n\n\
                     확인 토큰: {token}\n\n\
                     가입한 적이 없다면 이 메일을 무시하세요.\n"
                ),
            ),
            Lang::En => (
                "[Jangteo] Please verify your e-mail address",
                format!(
                    "Welcome to Jangteo.\n\n\
                     Open this link to verify your e-mail address. It works once, for {hours} hours.\n\n\
                     {link}\n\n\
                     Verification token: {token}\n\n\
                     If you did not sign up, ignore this mail.\n"
                ),
            ),
        };
        Self { subject: subject.into(), text: Personal::new(text) }
    }

    /// Tells a member that somebody, perhaps they themselves, tried to sign up with their address.
    pub(crate) fn already_member(lang: Lang, public_url: &str) -> Self {
        let (subject, text) = match lang {
            Lang::Ko => (
                "[장터] 이미 가입된 이메일입니다",
                format!(
                    "이 이메일 주소로 장터에 가입하려는 요청이 있었지만, 이미 가입된 주소입니다.\n\n\
                     본인이 요청했다면 새로 가입하지 말고 로그인해 주세요: {public_url}\n\n\
                     요청한 적이 없다면 이 메일을 무시하세요. 계정은 바뀌지 않았습니다.\n"
                ),
            ),
            Lang::En => (
                "[Jangteo] You already have an account",
                format!(
                    "Somebody asked to sign up at Jangteo with this e-mail address, which has an account already.\n\n\
                     If it was you, please sign in instead: {public_url}\n\n\
                     If it was not, ignore this mail. Nothing has changed.\n"
                ),
            ),
        };
        Self { subject: subject.into(), text: Personal::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_and_the_token_are_in_the_mail_in_both_languages() {
        for lang in [Lang::Ko, Lang::En] {
            let letter = Letter::verification(lang, "https://shop.example", &Secret::new("abc"), 24);
            assert!(letter.text.expose().contains("https://shop.example/verify?token=abc\n"));
            assert!(letter.text.expose().contains(": abc\n"));
            assert!(letter.text.expose().contains("24"));
            let owner = Letter::already_member(lang, "https://shop.example");
            assert!(owner.text.expose().contains("https://shop.example"));
            assert_ne!(owner.subject, letter.subject);
        }
    }
}
