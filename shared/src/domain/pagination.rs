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

/// Position in a list: the last row of a page. Serialises to the arguments with which the RPC
/// functions that list rows continue after it.
pub trait Cursor: Serialize + Sized {
    /// Encodes the cursor as text, before base64url.
    fn to_text(&self) -> String;

    /// Parses the text. Returns `None` if it is not a cursor of this kind.
    fn from_text(text: String) -> Option<Self>;

    /// Encodes the cursor as the opaque string that callers get.
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.to_text())
    }

    /// Decodes a caller's cursor.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`] if it is not a cursor of this kind.
    fn decode(cursor: &str) -> Result<Self, Error> {
        let text = base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(Self::from_text).ok_or_else(|| Error::new(ErrorCode::MalformedCursor))
    }
}

/// Cursor of a list ordered by time, in microseconds, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeCursor {
    #[serde(rename = "p_after_at")]
    pub at: Timestamp,
    #[serde(rename = "p_after_id")]
    pub id: Uuid,
}

impl Cursor for TimeCursor {
    fn to_text(&self) -> String {
        format!("{}.{}", self.at.as_microsecond(), self.id)
    }

    fn from_text(text: String) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        let at = Timestamp::from_microsecond(integer(at)?)?;
        // No row is older than 1970, and PostgreSQL cannot represent much earlier times.
        Some(Self { at, id: uuid(id)? }).filter(|_| at >= Timestamp::UNIX_EPOCH)
    }
}

/// Cursor of a session's messages, ordered by their sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeqCursor {
    #[serde(rename = "p_after_seq")]
    pub seq: i64,
}

impl Cursor for SeqCursor {
    fn to_text(&self) -> String {
        self.seq.to_string()
    }

    fn from_text(text: String) -> Option<Self> {
        integer(&text).filter(|seq| *seq >= 0).map(|seq| Self { seq })
    }
}

/// Cursor of a list of agents, ordered by their id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdCursor {
    #[serde(rename = "p_after_id")]
    pub id: String,
}

impl Cursor for IdCursor {
    fn to_text(&self) -> String {
        self.id.clone()
    }

    fn from_text(id: String) -> Option<Self> {
        let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then_some(Self { id })
    }
}

/// The page that a caller requests. Serialises to arguments of the RPC functions that list rows.
#[derive(Clone, Debug, Serialize)]
pub struct PageRequest<C> {
    #[serde(rename = "p_limit")]
    limit: PageSize,
    #[serde(flatten)]
    after: Option<C>,
}

impl<C: Cursor> PageRequest<C> {
    /// Creates the request from the query parameters `limit`, or its default, and `cursor`.
    ///
    /// # Errors
    /// Returns [`ErrorCode::MalformedCursor`] if it is not a cursor of this list.
    pub fn new(limit: PageSize, cursor: Option<&str>) -> Result<Self, Error> {
        Ok(Self { limit, after: cursor.map(C::decode).transpose()? })
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
    /// Converts the rows to a page. `cursor` creates the cursor of the last row.
    pub fn into_page<C: Cursor>(self, cursor: impl FnOnce(&T) -> C) -> Page<T> {
        let next_cursor = self.rows.last().filter(|_| self.more).map(|last| cursor(last).encode());
        Page { rows: self.rows, next_cursor }
    }
}

/// A page of a list.
#[derive(Debug)]
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
        assert_eq!(SeqCursor::decode(&SeqCursor { seq: 12 }.encode()).unwrap(), SeqCursor { seq: 12 });
        let before = TimeCursor { at: Timestamp::from_second(-1).unwrap(), id: Uuid::from_u128(7) }.encode();
        for wrong in ["", "x", "AAAA", "!!!", &before] {
            assert_eq!(TimeCursor::decode(wrong).unwrap_err().code, ErrorCode::MalformedCursor);
        }
    }

    #[test]
    fn page_request_serialises_to_the_arguments_of_an_rpc() {
        let request = |cursor| PageRequest::<SeqCursor>::new(PageSize(5), cursor).unwrap();
        let cursor = SeqCursor { seq: 7 }.encode();
        let arguments = serde_json::to_value(request(Some(&cursor))).unwrap();
        assert_eq!(arguments, serde_json::json!({ "p_limit": 5, "p_after_seq": 7 }));
        assert_eq!(serde_json::to_value(request(None)).unwrap(), serde_json::json!({ "p_limit": 5 }));
    }

    #[test]
    fn last_page_has_no_next_cursor() {
        let page = |answer: &str| {
            let rows: Rows<i64> = serde_json::from_str(answer).unwrap();
            rows.into_page(|row| SeqCursor { seq: *row })
        };
        assert_eq!(page(r#"{"rows": [1, 2], "more": false}"#).next_cursor, None);
        let first = page(r#"{"rows": [1, 2], "more": true}"#);
        assert_eq!((first.rows, first.next_cursor), (vec![1, 2], Some(SeqCursor { seq: 2 }.encode())));
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
