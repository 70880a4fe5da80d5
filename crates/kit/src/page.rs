//! Cursor paging: a page and an opaque cursor to the next one. Never offsets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault};

/// Items of one page; `next` is absent on the last.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `cursor` to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts `rows` (read with a limit of `size + 1`) to a page; `key` is the sort key of the last row kept.
    pub fn cut<K: Serialize>(mut rows: Vec<T>, size: usize, key: impl Fn(&T) -> K) -> Self {
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(|row| Cursor::new(&key(row)));
        Self { items: rows, next }
    }

    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// Page sizes: asked for by the client, held within bounds by the server.
pub const PAGE_SIZE_DEFAULT: usize = 20;
pub const PAGE_SIZE_MAX: usize = 100;

/// An opaque position in a list: the sort key of the last row shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    const CHARS_MAX: usize = 512;

    pub fn new<K: Serialize>(key: &K) -> Self {
        Self(URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default()))
    }

    /// Errors: `bad_cursor` when it is not one that this list gave out.
    pub fn key<K: DeserializeOwned>(&self) -> Result<K, Fault> {
        let bad = || Fault::new(Code::BadCursor);
        if self.0.len() > Self::CHARS_MAX {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| bad())?;
        serde_json::from_slice(&bytes).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_round_trips_and_refuses_garbage() {
        let cursor = Cursor::new(&(5_i64, "a"));
        assert_eq!(cursor.key::<(i64, String)>().expect("own cursor"), (5, "a".into()));
        for garbage in ["", "!!", "bm90IGpzb24"] {
            assert_eq!(Cursor(garbage.into()).key::<i64>().expect_err("garbage").code, Code::BadCursor);
        }
    }

    #[test]
    fn last_page_has_no_cursor() {
        assert!(Page::cut(vec![1, 2], 2, |n| *n).next.is_none());
        assert!(Page::cut(vec![1, 2, 3], 2, |n| *n).next.is_some());
    }
}
