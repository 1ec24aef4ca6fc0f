//! Pagination by keyset: a cursor names the last row of a page, so that rows which come or go in between move nothing. A page ends by
//! rows or by bytes, whichever comes first.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::Uuid;

use crate::{
    error::{Error, ErrorCode},
    platform::parse::{Integer, Timestamp, base64url, integer, uuid},
};

/// Rows a page holds where nothing else is asked.
pub const DEFAULT_LIMIT: u16 = 20;

/// The most rows that a page may hold.
pub const MAX_LIMIT: u16 = 100;

/// Where a page of a list ordered by time ended: microseconds, with the id where two are alike. Serialises to the arguments of our
/// functions that list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeCursor {
    /// The last row's time.
    #[serde(rename = "p_after_at")]
    pub at: Timestamp,
    /// The last row's id.
    #[serde(rename = "p_after_id")]
    pub id: Uuid,
}

impl TimeCursor {
    /// The cursor as the caller keeps it.
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.as_microsecond(), self.id))
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedCursor`].
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let decoded = || {
            let text = String::from_utf8(base64url(cursor)?).ok()?;
            let (at, id) = text.split_once('.')?;
            let at = Timestamp::from_microsecond(integer(at)?)?;
            // Nothing was touched before 1970, and the database has no word for a time long before.
            Some(Self { at, id: uuid(id)? }).filter(|_| at >= Timestamp::UNIX_EPOCH)
        };
        decoded().ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Where a page of a session's messages ended: the number of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqCursor(pub i64);

impl SeqCursor {
    /// The cursor as the caller keeps it.
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.to_string())
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedCursor`].
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let text = base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok());
        let seq = text.and_then(|text| integer(&text)).filter(|seq| *seq >= 0);
        seq.map(Self).ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Where a page of agents ended: the id of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdCursor(pub String);

impl IdCursor {
    /// The cursor as the caller keeps it.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedCursor`].
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let plain = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        let id = base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok()).filter(plain);
        id.map(Self).ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// What a function of the database answers that lists rows: as many as were asked for, or as fit into an answer. It says itself
/// whether others follow: a page is not the last one because it is short.
#[derive(Debug, Deserialize)]
pub struct Rows<T> {
    rows: Vec<T>,
    more: bool,
}

impl<T> Rows<T> {
    /// The page, with where the next one begins as the caller keeps it.
    pub fn into_page(self, cursor: impl FnOnce(&T) -> String) -> Page<T> {
        let next_cursor = self.rows.last().filter(|_| self.more).map(cursor);
        Page { rows: self.rows, next_cursor }
    }
}

/// A page, and the cursor of the next one where there is one.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// How many rows a page may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageSize(u16);

impl PageSize {
    /// The most that a page may hold.
    pub const MAX: Self = Self(MAX_LIMIT);
}

impl Default for PageSize {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de> Deserialize<'de> for PageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = Integer::deserialize(deserializer).ok().map(|Integer(limit)| limit);
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.map(Self).ok_or_else(|| D::Error::custom(format!("must be from 1 to {MAX_LIMIT}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_to_the_microsecond() {
        let cursor = TimeCursor {
            at: Timestamp::parse("2026-11-22T10:00:00.123456Z").unwrap(),
            id: Uuid::from_u128(7),
        };
        assert_eq!(TimeCursor::decode(&cursor.encode()).unwrap(), cursor);
        assert_eq!(SeqCursor::decode(&SeqCursor(12).encode()).unwrap(), SeqCursor(12));
        let before = TimeCursor { at: Timestamp::from_second(-1).unwrap(), id: Uuid::from_u128(7) }.encode();
        for wrong in ["", "x", "AAAA", "!!!", &before] {
            assert_eq!(TimeCursor::decode(wrong).unwrap_err().code, ErrorCode::MalformedCursor);
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let page = |answer: &str| {
            let rows: Rows<i64> = serde_json::from_str(answer).unwrap();
            rows.into_page(|row| SeqCursor(*row).encode())
        };
        assert_eq!(page(r#"{"rows": [1, 2], "more": false}"#).next_cursor, None);
        let first = page(r#"{"rows": [1, 2], "more": true}"#);
        assert_eq!((first.rows, first.next_cursor), (vec![1, 2], Some(SeqCursor(2).encode())));
    }

    #[test]
    fn a_page_holds_from_one_to_a_hundred_rows() {
        let size = |limit: &str| serde_json::from_value::<PageSize>(limit.into()).map_err(|e| e.to_string());
        assert_eq!(size("100"), Ok(PageSize(100)));
        for wrong in ["0", "101", "+5", "05", "65537", ""] {
            assert_eq!(size(wrong), Err("must be from 1 to 100".to_owned()), "{wrong}");
        }
    }
}
