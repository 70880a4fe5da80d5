//! Values that must not leak: no Display, no Debug of the content, so no log line can hold them by accident.

use serde::{Deserialize, Serialize};

/// A password, token or key. Serialises (it must cross the wire between services), never prints.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Data about a person: name, phone, e-mail, address. Same rules as [`Secret`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal(String);

macro_rules! guarded {
    ($name:ident, $mask:literal) => {
        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The value itself. Every call is a place to look at in review.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        // Debug is required by derives around it; it shows a mask only.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($mask)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

guarded!(Secret, "[secret]");
guarded!(Personal, "[personal]");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?} {:?}", Secret::new("hunter2"), Personal::new("kim@example.com")),
            "[secret] [personal]"
        );
    }
}
