//! Paging by keyset: a cursor names the last row of a page, so that rows which come or go in between move nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Code, Error};

/// Rows a page holds where nothing else is asked.
pub const DEFAULT_LIMIT: u16 = 20;

/// The most rows that a page may hold.
pub const MAX_LIMIT: u16 = 100;

/// Where a page of a list ordered by time ended: microseconds, with the id where two are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeCursor {
    /// The last row's time.
    pub at: Timestamp,
    /// The last row's id.
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
    /// [`Code::MalformedCursor`].
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let parse = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let (at, id) = text.split_once('.')?;
            let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
            // Nothing was touched before 1970, and the database has no word for a time long before.
            Some(Self { at, id: Uuid::try_parse(id).ok()? }).filter(|_| at >= Timestamp::UNIX_EPOCH)
        };
        parse().ok_or_else(|| Error::new(Code::MalformedCursor))
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
    /// [`Code::MalformedCursor`].
    pub fn decode(cursor: &str) -> Result<Self, Error> {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let seq = text.and_then(|text| text.parse().ok()).filter(|seq| *seq >= 0);
        seq.map(Self).ok_or_else(|| Error::new(Code::MalformedCursor))
    }
}

/// Cuts a page from rows of which one more than `limit` was asked for, and says where the next begins.
pub fn cut<T, C>(
    mut rows: Vec<T>,
    limit: u16,
    cursor: impl Fn(&T) -> C,
    encode: impl Fn(C) -> String,
) -> Page<T> {
    let more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next_cursor = rows.last().filter(|_| more).map(|row| encode(cursor(row)));
    Page { rows, next_cursor }
}

/// A page, and the cursor of the next one where there is one.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Checks a page's size.
///
/// # Errors
/// [`Code::InvalidRequest`] naming `limit`.
pub fn limit(asked: Option<u16>) -> Result<u16, Error> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
        Some(_) => Err(Error::invalid(vec![crate::error::FieldError::at(
            "limit",
            format!("must be from 1 to {MAX_LIMIT}"),
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_to_the_microsecond() {
        let cursor =
            TimeCursor { at: "2026-11-22T10:00:00.123456Z".parse().unwrap(), id: Uuid::from_u128(7) };
        assert_eq!(TimeCursor::decode(&cursor.encode()).unwrap(), cursor);
        assert_eq!(SeqCursor::decode(&SeqCursor(12).encode()).unwrap(), SeqCursor(12));
        let before = TimeCursor { at: Timestamp::MIN, id: Uuid::from_u128(7) }.encode();
        for wrong in ["", "x", "AAAA", "!!!", &before] {
            assert_eq!(TimeCursor::decode(wrong).unwrap_err().code, Code::MalformedCursor);
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let page = |rows: Vec<i64>| cut(rows, 2, |row| SeqCursor(*row), SeqCursor::encode);
        assert_eq!(page(vec![1, 2]).next_cursor, None);
        let first = page(vec![1, 2, 3]);
        assert_eq!((first.rows, first.next_cursor), (vec![1, 2], Some(SeqCursor(2).encode())));
    }
}
