//! Rules for fields that more than one body has. Messages never repeat the value.

use garde::Validate;
use kit::{Code, Fault, FieldError, Personal, Result, Secret};

use crate::member::fold_phone;

/// Judges a body by its own rules. Errors: `invalid_fields`, every wrong field by its JSON pointer, reason `invalid`.
pub fn valid(body: &impl Validate<Context = ()>) -> Result<()> {
    let Err(report) = body.validate() else {
        return Ok(());
    };
    let field = |(path, error): (garde::error::Path, garde::Error)| FieldError {
        pointer: pointer(&path.to_string()).into(),
        reason: "invalid".into(),
        detail: error.message().to_owned().into(),
    };
    Err(Fault { fields: report.into_inner().into_iter().map(field).collect(), ..Fault::new(Code::InvalidFields) })
}

/// `options[3].name` as a JSON pointer (RFC 6901): `/options/3/name`.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace("].", "/").replace(['.', '['], "/").replace(']', ""))
}

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

/// Texts of several lines may hold anything but NUL, which PostgreSQL cannot store.
pub(crate) fn no_nul(value: &str, _: &()) -> garde::Result {
    match value.contains('\0') {
        true => Err(garde::Error::new("must not contain the NUL character")),
        false => Ok(()),
    }
}

fn printable(value: &str, chars_max: usize) -> bool {
    let text = value.trim();
    !text.is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_json_pointers() {
        for (path, expected) in [
            ("name", "/name"),
            ("options[3].name", "/options/3/name"),
            ("lines[0]", "/lines/0"),
            ("a.b[1][2].c", "/a/b/1/2/c"),
        ] {
            assert_eq!(pointer(path), expected);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let option = crate::catalog::OptionBody {
            id: None,
            name: " ".into(),
            price: -1,
            stock: 0,
            limit_per_member: None,
            limit_days: None,
        };
        let body = crate::catalog::ItemBody {
            name: "x".repeat(101),
            description: "a\0b".into(),
            category_id: kit::id::CategoryId(Default::default()),
            on_sale: true,
            hidden: false,
            options: vec![option],
        };
        let fault = valid(&body).expect_err("wrong");
        let mut pointers: Vec<&str> = fault.fields.iter().map(|field| &*field.pointer).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/description", "/name", "/options/0/name", "/options/0/price"]);
    }
}
