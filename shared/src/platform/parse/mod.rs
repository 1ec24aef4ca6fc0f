//! Strict parsing: the one set of parsers for what others write, wherever it stands: path, query, body, cursor, token, variable.
//!
//! | of | in | follows |
//! | --- | --- | --- |
//! | times | [`Timestamp`] | RFC 3339, section 5.6, with the years and seconds that it names; written in one form only |
//! | ids | [`uuid`], [`StrictUuid`] | RFC 9562, section 4: 36 characters, in either case; written in lower case |
//! | integers as text | [`integer`], [`Integer`] | the integers of RFC 8259, section 6: no plus sign, no zeros in front |
//! | booleans as text | [`boolean`] | the literals of RFC 8259, section 3 |
//! | JSON | [`json`] | RFC 8259; UTF-8 and distinct names as in RFC 7493, sections 2.1 and 2.3 |
//! | query strings | [`query`] | WHATWG URL, `application/x-www-form-urlencoded`; escapes as in RFC 3986, section 2.1; UTF-8; distinct names |
//! | base64url | [`base64url`] | RFC 4648, section 5, without padding, and section 3.5: bits left over are zero |

mod base64url;
mod integer;
mod json;
mod query;
mod timestamp;
mod uuid;

pub use base64url::base64url;
pub use integer::{Integer, integer};
pub use json::json;
pub use query::query;
pub use timestamp::Timestamp;
pub use uuid::{StrictUuid, uuid};

/// Parses `true` or `false`, in lower case.
///
/// # Errors
/// What it should be.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}
