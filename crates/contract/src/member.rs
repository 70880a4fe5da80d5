//! The member service: people, their sign-in, their personal data.

use garde::Validate;
use kit::id::{MemberId, SessionId};
use kit::jwt::PublicKey;
use kit::{Millis, Personal, Role, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check;

rpc::service! {
    /// People, their sign-in, their personal data.
    pub trait Member, client MemberClient, name "member" {
        /// Creates a member and sends the verification mail. Answers alike whether or not the e-mail is taken.
        /// Errors: `invalid_fields` (`/phone` `taken`, `/password` `too_common`, …).
        fn sign_up(SignUp) -> ();
        /// Errors: `bad_verification_token`.
        fn verify_email(VerifyEmail) -> ();
        /// Sends a new link, if the address belongs to an unverified member and got fewer than 5 this hour.
        fn resend_verification(ResendVerification) -> ();
        /// Errors: `bad_credentials`, `rate_limited`.
        fn login(Login) -> Tokens;
        /// Rotates the refresh token. Errors: `bad_refresh_token`.
        fn refresh(Refresh) -> Tokens;
        /// Ends one session. Ending an ended one is no error.
        fn logout(SessionRef) -> ();
        /// Ends every session of the member.
        fn logout_all(MemberId) -> ();
        /// Errors: `not_found`.
        fn me(MemberId) -> Me;
        /// The keys that access tokens are verified with.
        fn keys(()) -> Keys;
        /// Creates verified members in bulk, by command of an operator: imports, demo, rehearsals. E-mails that exist
        /// already keep their member.
        fn enroll(Enroll) -> Vec<Enrolled>;
        /// Mails of the last day, newest first; empty unless the mailbox stands in for an SMTP server.
        fn mailbox(()) -> Vec<Mail>;
    }
}

/// What the sign-up door of a buyer takes.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpBuyer {
    #[garde(custom(check::email))]
    #[schema(value_type = String, format = "email", example = "kim@example.com", max_length = 254)]
    pub email: Personal,
    #[garde(custom(check::password))]
    #[schema(value_type = String, format = "password", example = "correct horse battery", min_length = 8, max_length = 128)]
    pub password: Secret,
    #[garde(custom(check::person_name))]
    #[schema(value_type = String, example = "김장터", min_length = 1, max_length = 50)]
    pub name: Personal,
    /// Korean mobile number; hyphens are allowed.
    #[garde(custom(check::phone))]
    #[schema(value_type = String, example = "010-1234-5678")]
    pub phone: Personal,
}

/// What the sign-up door of a seller takes.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpSeller {
    #[garde(custom(check::email))]
    #[schema(value_type = String, format = "email", example = "shop@example.com", max_length = 254)]
    pub email: Personal,
    #[garde(custom(check::password))]
    #[schema(value_type = String, format = "password", example = "correct horse battery", min_length = 8, max_length = 128)]
    pub password: Secret,
    #[garde(custom(check::person_name))]
    #[schema(value_type = String, example = "이상인", min_length = 1, max_length = 50)]
    pub name: Personal,
    /// Korean mobile number; hyphens are allowed.
    #[garde(custom(check::phone))]
    #[schema(value_type = String, example = "010-9876-5432")]
    pub phone: Personal,
    #[garde(custom(check::name_100))]
    #[schema(example = "장터상회", min_length = 1, max_length = 100)]
    pub business_name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SignUp {
    Buyer(SignUpBuyer),
    Seller(SignUpSeller),
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyEmail {
    /// From the link in the mail.
    #[garde(skip)]
    #[schema(value_type = String)]
    pub token: Secret,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendVerification {
    #[garde(custom(check::email))]
    #[schema(value_type = String, format = "email")]
    pub email: Personal,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    #[garde(skip)]
    #[schema(value_type = String, format = "email", example = "buyer@jangteo.example")]
    pub email: Personal,
    #[garde(skip)]
    #[schema(value_type = String, format = "password")]
    pub password: Secret,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    pub body: LoginBody,
    /// The caller's network address, for the throttle.
    pub address: Personal,
    /// What the device says it is, shown in the list of sessions.
    pub device: Personal,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    #[garde(skip)]
    #[schema(value_type = String)]
    pub refresh_token: Secret,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SessionRef {
    pub member: MemberId,
    pub session: SessionId,
}

/// A session's tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    #[schema(value_type = String)]
    pub access_token: Secret,
    /// Seconds until the access token expires.
    pub expires_in: i64,
    /// Good for one use.
    #[schema(value_type = String)]
    pub refresh_token: Secret,
}

/// A member's own data.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub id: MemberId,
    pub role: Role,
    #[schema(value_type = String)]
    pub email: Personal,
    #[schema(value_type = String)]
    pub name: Personal,
    #[schema(value_type = Option<String>)]
    pub phone: Option<Personal>,
    pub business_name: Option<String>,
    pub email_verified: bool,
    pub joined_at: Millis,
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    pub keys: Vec<PublicKey>,
}

/// A person to be created without a sign-up.
#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
pub struct Person {
    #[garde(custom(check::email))]
    pub email: Personal,
    #[garde(custom(check::person_name))]
    pub name: Personal,
    #[garde(inner(custom(check::phone)))]
    pub phone: Option<Personal>,
    #[garde(inner(custom(check::name_100)))]
    pub business_name: Option<String>,
    /// Without one, nobody can log in until it is reset.
    #[garde(inner(custom(check::password)))]
    pub password: Option<Secret>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate)]
pub struct Enroll {
    #[garde(skip)]
    pub role: Role,
    #[garde(length(max = PEOPLE_MAX), dive)]
    pub people: Vec<Person>,
    /// Also open a session for each and hand out its access token.
    #[garde(skip)]
    pub tokens: bool,
}

/// People enrolled by one call: all of them or, if something is wrong with one, none.
pub const PEOPLE_MAX: usize = 10_000;

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    pub id: MemberId,
    #[schema(value_type = Option<String>)]
    pub access_token: Option<Secret>,
    /// False when a member with this e-mail existed before.
    pub created: bool,
}

/// A mail as the mailbox page shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mail {
    pub to: Personal,
    pub subject: String,
    pub text: Personal,
    pub sent_at: Millis,
}

/// Where the shared memory keeps that a session was ended while access tokens of it may still be alive. The member
/// service sets it (any value) for the life of an access token; whoever takes such tokens looks it up.
pub fn revoked_key(session: SessionId) -> String {
    format!("revoked/{}", session.0.simple())
}

/// Case-folded, trimmed: the form in which e-mail addresses are compared.
pub fn fold_email(email: &Personal) -> Personal {
    Personal::new(email.expose().trim().to_lowercase())
}

/// Digits only, `010…`: the form in which phone numbers are kept. `None` when it is not a Korean mobile number.
pub fn fold_phone(phone: &Personal) -> Option<Personal> {
    let text = phone.expose().trim();
    let fit = |c: char| c.is_ascii_digit() || matches!(c, '-' | ' ' | '+');
    if !text.chars().all(fit) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let national = match text.starts_with('+') {
        true => format!("0{}", digits.strip_prefix("82")?),
        false => digits,
    };
    let prefixed = ["010", "011", "016", "017", "018", "019"].iter().any(|p| national.starts_with(p));
    (prefixed && (10..=11).contains(&national.len())).then(|| Personal::new(national))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_korean_mobiles() {
        let folded = |text: &str| fold_phone(&Personal::new(text)).map(|p| p.expose().to_owned());
        for text in ["01012345678", "010-1234-5678", "+82 10 1234 5678", " 010 1234 5678 "] {
            assert_eq!(folded(text).as_deref(), Some("01012345678"), "{text}");
        }
        for text in ["", "02-123-4567", "010-12", "+1 010 1234 5678", "010-1234-567a", "010123456789"] {
            assert_eq!(folded(text), None, "{text}");
        }
    }
}
