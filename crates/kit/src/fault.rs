//! What can go wrong, as one closed list of codes that clients may rely on (RFC 9457 problem details).
//!
//! A [`Fault`] carries a stable `code`, field errors, and facts for the caller; what only we should know goes
//! into `context`, which is logged once at the edge and never shown. The whole fault crosses the wire.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ctx::Lang;

pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// The sort of failure; becomes an HTTP status in exactly one place ([`Kind::status`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    Unsupported,
    /// The request was understood and a rule of the market refuses it.
    Refused,
    TooMany,
    Timeout,
    Unavailable,
    Internal,
}

impl Kind {
    /// The HTTP status (RFC 9110 §15).
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unsupported => 415,
            Self::Refused => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

macro_rules! codes {
    ($($name:ident $text:literal $kind:ident $en:literal $ko:literal;)+) => {
        /// Every code the market answers with. The text form is stable.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Code {
            $(#[serde(rename = $text)] $name,)+
            /// A newer peer's code that this build does not know.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ Self::Unknown => "unknown" }
            }

            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)+ Self::Unknown => Kind::Internal }
            }

            /// The title shown to people.
            pub fn title(self, lang: Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$name, Lang::En) => $en, (Self::$name, Lang::Ko) => $ko,)+
                    (Self::Unknown, Lang::En) => "Something went wrong.",
                    (Self::Unknown, Lang::Ko) => "문제가 발생했습니다.",
                }
            }
        }
    };
}

codes! {
    // The request itself
    BadJson "bad_json" BadRequest "The body is not the JSON that this endpoint takes." "본문이 이 주소가 받는 JSON이 아닙니다.";
    BadQuery "bad_query" BadRequest "The query string is not what this endpoint takes." "질의 문자열이 올바르지 않습니다.";
    BadPath "bad_path" NotFound "There is nothing at this address." "이 주소에는 아무것도 없습니다.";
    BadCursor "bad_cursor" BadRequest "The cursor is not one that this list gave out." "이 목록이 준 커서가 아닙니다.";
    BadHeader "bad_header" BadRequest "A header is not valid." "헤더가 올바르지 않습니다.";
    InvalidFields "invalid_fields" Refused "Some fields are not valid." "올바르지 않은 항목이 있습니다.";
    MethodNotAllowed "method_not_allowed" MethodNotAllowed "This address does not take that method." "이 주소는 그 메서드를 받지 않습니다.";
    BodyTooLarge "body_too_large" TooLarge "The body is too large." "본문이 너무 큽니다.";
    UnsupportedMediaType "unsupported_media_type" Unsupported "Send the body as application/json." "본문은 application/json으로 보내 주세요.";
    RequestTimeout "request_timeout" Timeout "The request did not arrive in time." "요청이 제시간에 도착하지 않았습니다.";
    NotFound "not_found" NotFound "Not found." "찾을 수 없습니다.";

    // Who is asking
    Unauthenticated "unauthenticated" Unauthenticated "Please sign in." "로그인해 주세요.";
    TokenExpired "token_expired" Unauthenticated "The access token has expired." "접근 토큰이 만료되었습니다.";
    BadCredentials "bad_credentials" Unauthenticated "E-mail or password is wrong." "이메일 또는 비밀번호가 올바르지 않습니다.";
    BadRefreshToken "bad_refresh_token" Unauthenticated "The refresh token is not valid; please sign in again." "갱신 토큰이 유효하지 않습니다. 다시 로그인해 주세요.";
    Forbidden "forbidden" Forbidden "You may not do this." "권한이 없습니다.";
    EmailNotVerified "email_not_verified" Forbidden "Please verify your e-mail address first." "먼저 이메일 주소를 확인해 주세요.";
    BadVerificationToken "bad_verification_token" Refused "The link is not valid any more; ask for a new one." "링크가 더 이상 유효하지 않습니다. 새로 요청해 주세요.";

    // Load
    RateLimited "rate_limited" TooMany "Too many requests; please wait." "요청이 너무 많습니다. 잠시 기다려 주세요.";
    Overloaded "overloaded" Unavailable "The market is busy; please try again." "접속이 몰리고 있습니다. 다시 시도해 주세요.";
    Unavailable "unavailable" Unavailable "This part of the market cannot be reached right now." "지금은 이 기능을 사용할 수 없습니다.";
    DeadlineExceeded "deadline_exceeded" Unavailable "The answer took too long; the outcome is not known yet. Try again with the same idempotency key." "응답이 늦어 결과를 아직 알 수 없습니다. 같은 멱등 키로 다시 시도해 주세요.";
    Internal "internal" Internal "Something went wrong on our side." "서버에 문제가 발생했습니다.";

    // Idempotency
    IdempotencyKeyMissing "idempotency_key_missing" BadRequest "Send an Idempotency-Key header of 1 to 300 visible characters." "Idempotency-Key 헤더(보이는 문자 1~300자)가 필요합니다.";
    IdempotencyKeyReused "idempotency_key_reused" Refused "This idempotency key was used with another body." "이 멱등 키는 다른 본문에 이미 사용되었습니다.";
    IdempotencyInProgress "idempotency_in_progress" Conflict "The first request with this key is still running." "같은 키의 첫 요청이 아직 처리 중입니다.";

    // Catalogue
    CategoryNotEmpty "category_not_empty" Conflict "The category cannot be removed like this." "이 분류는 이렇게 삭제할 수 없습니다.";
    StoreClosed "store_closed" Conflict "The store is closed." "닫힌 상점입니다.";
    Stale "stale" Conflict "Somebody changed this in the meantime; read it again." "그사이 내용이 바뀌었습니다. 다시 읽어 주세요.";

    // The sale
    SaleNotOpen "sale_not_open" Forbidden "The sale is not open." "판매 시간이 아닙니다.";
    SoldOut "sold_out" Conflict "Sold out." "품절되었습니다.";
    NotOnSale "not_on_sale" Conflict "This option is not on sale." "판매 중인 옵션이 아닙니다.";
    OverLimit "over_limit" Refused "This is more than one member may buy." "1인당 구매 한도를 초과했습니다.";
    PriceChanged "price_changed" Conflict "The total has changed; confirm the new one." "금액이 변경되었습니다. 새 금액을 확인해 주세요.";
    StockTooLow "stock_too_low" Conflict "There are not that many units to take away." "차감할 재고가 부족합니다.";
    HoldEnded "hold_ended" Conflict "The hold on this order has ended." "주문 보류 시간이 끝났습니다.";
    PaymentRunning "payment_running" Conflict "A payment of this order is running." "이 주문의 결제가 진행 중입니다.";
    IllegalMove "illegal_move" Conflict "The order is not in a state that allows this." "현재 주문 상태에서는 할 수 없는 작업입니다.";

    // Money
    InsufficientFunds "insufficient_funds" Conflict "The wallet does not hold enough." "지갑 잔액이 부족합니다.";
    AmountOutOfRange "amount_out_of_range" Refused "The amount is out of range." "금액이 허용 범위를 벗어났습니다.";
    CurrencyMismatch "currency_mismatch" Refused "The currency is not that of the market." "이 장터의 통화가 아닙니다.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One field that is not valid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer into the request body (RFC 6901), such as `/lines/0/quantity`.
    #[schema(value_type = String)]
    pub pointer: Cow<'static, str>,
    /// Stable reason, such as `taken` or `length`.
    #[schema(value_type = String)]
    pub reason: Cow<'static, str>,
    #[schema(value_type = String)]
    pub detail: Cow<'static, str>,
}

/// A failure, whole: what the caller may know and, apart from it, what we should know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    pub code: Code,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// Facts the caller can act on (the new total, the opening time), shown as members of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    /// When it makes sense to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// For the log only. Must not hold personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<str>>,
}

impl Fault {
    pub const fn new(code: Code) -> Self {
        Self { code, fields: Vec::new(), facts: None, retry_after_s: None, context: None }
    }

    pub fn kind(&self) -> Kind {
        self.code.kind()
    }

    /// Our own failure; `context` says what happened, for the log.
    pub fn internal(context: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal).context(context)
    }

    /// One invalid field.
    pub fn field(
        pointer: impl Into<Cow<'static, str>>,
        reason: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let field = FieldError { pointer: pointer.into(), reason: reason.into(), detail: detail.into() };
        Self { fields: vec![field], ..Self::new(Code::InvalidFields) }
    }

    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.facts.get_or_insert_default().insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.context = Some(context.to_string().into());
        self
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code.as_str())?;
        match &self.context {
            Some(context) => write!(f, ": {context}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_said_in_both_languages() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert!(code.title(Lang::En).is_ascii(), "{code}");
            assert!(!code.title(Lang::Ko).is_ascii(), "{code}");
        }
    }

    #[test]
    fn a_newer_peers_code_is_understood_as_unknown() {
        let fault: Fault = serde_json::from_str(r#"{"code":"invented_next_year","more":1}"#).expect("tolerant");
        assert_eq!(fault.code, Code::Unknown);
    }

    #[test]
    fn the_whole_fault_crosses_the_wire() {
        let fault =
            Fault::new(Code::SaleNotOpen).fact("opens_at", "2026-01-01T00:00:00Z").retry_after(3).context("why");
        let back: Fault = serde_json::from_str(&serde_json::to_string(&fault).expect("json")).expect("json");
        assert_eq!(format!("{back:?}"), format!("{fault:?}"));
    }
}
