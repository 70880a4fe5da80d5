//! Amounts are whole minor units with a currency; never floats; overflow is an error.

use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault};

/// An ISO 4217 code, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// South Korean won: no decimals, one minor unit is one won.
    pub const KRW: Self = Self(*b"KRW");

    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII letters can be inside.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an ISO 4217 currency code such as KRW"))
    }
}

/// A signed amount in minor units of `currency`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Whole minor units (won for KRW).
    pub amount: i64,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "KRW", min_length = 3, max_length = 3)]
    pub currency: Currency,
}

impl Money {
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Sum of two amounts of one currency. Errors: `amount_out_of_range`, `currency_mismatch`.
    pub fn plus(self, other: Self) -> Result<Self, Fault> {
        if self.currency != other.currency {
            return Err(Fault::new(Code::CurrencyMismatch));
        }
        let amount = self.amount.checked_add(other.amount).ok_or_else(|| Fault::new(Code::AmountOutOfRange))?;
        Ok(Self { amount, ..self })
    }

    /// `self` × `quantity`. Errors: `amount_out_of_range`.
    pub fn times(self, quantity: i64) -> Result<Self, Fault> {
        let amount = self.amount.checked_mul(quantity).ok_or_else(|| Fault::new(Code::AmountOutOfRange))?;
        Ok(Self { amount, ..self })
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.amount, self.currency.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_and_mixed_currencies_are_errors() {
        let won = |amount| Money::new(amount, Currency::KRW);
        assert_eq!(won(1).plus(won(2)).expect("sum"), won(3));
        assert_eq!(won(i64::MAX).plus(won(1)).expect_err("overflow").code, Code::AmountOutOfRange);
        assert_eq!(won(i64::MAX).times(2).expect_err("overflow").code, Code::AmountOutOfRange);
        let usd = Money::new(1, Currency::parse("USD").expect("code"));
        assert_eq!(won(1).plus(usd).expect_err("mixed").code, Code::CurrencyMismatch);
        assert!(Currency::parse("krw").is_none());
    }
}
