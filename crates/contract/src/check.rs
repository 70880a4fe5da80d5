//! Rules for fields that more than one body has. Messages never repeat the value.

use kit::{Personal, Secret};

use crate::member::fold_phone;

pub(crate) fn email(value: &Personal, _: &()) -> garde::Result {
    let text = value.expose().trim();
    if text.len() > 254 {
        return Err(garde::Error::new("at most 254 characters"));
    }
    garde::rules::email::parse_email(text).map_err(|_| garde::Error::new("not an e-mail address"))
}

/// Length only: what is common or contains the address is judged by the member service.
pub(crate) fn password(value: &Secret, _: &()) -> garde::Result {
    match value.expose().chars().count() {
        8..=128 => Ok(()),
        _ => Err(garde::Error::new("8 to 128 characters")),
    }
}

pub(crate) fn person_name(value: &Personal, _: &()) -> garde::Result {
    match printable(value.expose(), 50) {
        true => Ok(()),
        false => Err(garde::Error::new("1 to 50 characters")),
    }
}

pub(crate) fn phone(value: &Personal, _: &()) -> garde::Result {
    fold_phone(value).map(|_| ()).ok_or_else(|| garde::Error::new("not a Korean mobile number"))
}

/// 1–100 characters once trimmed, no control characters.
pub(crate) fn name_100(value: &str, _: &()) -> garde::Result {
    match printable(value, 100) {
        true => Ok(()),
        false => Err(garde::Error::new("1 to 100 characters")),
    }
}

fn printable(value: &str, chars_max: usize) -> bool {
    let text = value.trim();
    !text.is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}
