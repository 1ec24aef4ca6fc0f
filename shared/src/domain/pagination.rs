//! Keyset (cursor) pagination. A cursor names the last row of a page, so rows that are inserted or
//! deleted between two requests do not shift the next page. A page is limited by the number of rows
//! and by their size in bytes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::Uuid;

use crate::{
    error::{Error, ErrorCode},
    platform::parse::{Integer, Timestamp, base64url, integer, uuid},
};

/// Default number of rows of a page.
pub const DEFAULT_LIMIT: u16 = 20;

/// Maximum number of rows of a page.
pub const MAX_LIMIT: u16 = 100;

/// Cursor of a list ordered by time, in microseconds, then by id. Serialises to the arguments of
/// the RPC functions that list rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeCursor {
    /// Time of the last row of the page.
    #[serde(rename = "p_after_at")]
    pub at: Timestamp,
    /// Id of the last row of the page.
    #[serde(rename = "p_after_id")]
    pub id: Uuid,
}

impl TimeCursor {
    /// Encodes the cursor as the opaque string that callers get.
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.as_microsecond(), self.id))
    }

    /// Decodes a caller's cursor.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`] if it is not a cursor of this kind.
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let decoded = || {
            let text = String::from_utf8(base64url(cursor)?).ok()?;
            let (at, id) = text.split_once('.')?;
            let at = Timestamp::from_microsecond(integer(at)?)?;
            // No row is older than 1970, and PostgreSQL cannot represent much earlier times.
            Some(Self { at, id: uuid(id)? }).filter(|_| at >= Timestamp::UNIX_EPOCH)
        };
        decoded().ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Cursor of a session's messages: the sequence number of the last message of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqCursor(pub i64);

impl SeqCursor {
    /// Encodes the cursor as the opaque string that callers get.
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.to_string())
    }

    /// Decodes a caller's cursor.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`] if it is not a cursor of this kind.
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let text = base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok());
        let seq = text.and_then(|text| integer(&text)).filter(|seq| *seq >= 0);
        seq.map(Self).ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Cursor of a list of agents: the id of the last agent of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdCursor(pub String);

impl IdCursor {
    /// Encodes the cursor as the opaque string that callers get.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Decodes a caller's cursor.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`] if it is not a cursor of this kind.
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let plain = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        let id = base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok()).filter(plain);
        id.map(Self).ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Result of an RPC function that lists rows. It has a flag for whether more rows follow, since a
/// page that is limited by its size in bytes may be short without being the last.
#[derive(Debug, Deserialize)]
pub struct Rows<T> {
    rows: Vec<T>,
    more: bool,
}

impl<T> Rows<T> {
    /// Converts the rows to a page whose cursor is made from the last row.
    pub fn into_page(self, cursor: impl FnOnce(&T) -> String) -> Page<T> {
        let next_cursor = self.rows.last().filter(|_| self.more).map(cursor);
        Page { rows: self.rows, next_cursor }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Cursor of the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// Maximum number of rows of a page, from 1 to [`MAX_LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageSize(u16);

impl PageSize {
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
    fn cursor_round_trip_keeps_microseconds() {
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
    fn last_page_has_no_next_cursor() {
        let page = |answer: &str| {
            let rows: Rows<i64> = serde_json::from_str(answer).unwrap();
            rows.into_page(|row| SeqCursor(*row).encode())
        };
        assert_eq!(page(r#"{"rows": [1, 2], "more": false}"#).next_cursor, None);
        let first = page(r#"{"rows": [1, 2], "more": true}"#);
        assert_eq!((first.rows, first.next_cursor), (vec![1, 2], Some(SeqCursor(2).encode())));
    }

    #[test]
    fn page_size_outside_1_to_100_is_rejected() {
        let size = |limit: &str| serde_json::from_value::<PageSize>(limit.into()).map_err(|e| e.to_string());
        assert_eq!(size("100"), Ok(PageSize(100)));
        for wrong in ["0", "101", "+5", "05", "65537", ""] {
            assert_eq!(size(wrong), Err("must be from 1 to 100".to_owned()), "{wrong}");
        }
    }
}
