//! Strict parsers for all untrusted input: paths, queries, bodies,
//! cursors, tokens and environment variables.
//!
//! - Times: [`Timestamp`]. RFC 3339, section 5.6, with the range of years and seconds defined
//!   there. Written in one form only.
//! - Ids: [`uuid()`], [`StrictUuid`]. RFC 9562, section 4: 36 characters, in either
//!   case. Written in lower case.
//! - Integers as text: [`integer()`], [`Integer`]. The integers of RFC 8259, section 6: no
//!   plus sign, no leading zeros.
//! - Booleans as text: [`boolean`]. The literals of RFC 8259, section 3.
//! - JSON: [`json()`]. RFC 8259; UTF-8 and unique names as in RFC 7493, sections 2.1 and 2.3.
//! - Query strings: [`query()`]. WHATWG URL, `application/x-www-form-urlencoded`; escapes as in RFC
//!   3986, section 2.1; UTF-8; unique names.
//! - base64url: [`base64url()`]. RFC 4648, section 5, without padding; unused
//!   bits are zero (section 3.5).

mod base64url;
mod integer;
mod json;
mod query;
mod timestamp;
mod uuid;

pub use base64url::base64url;
pub use integer::{Integer, integer};
pub use json::{json, json_value};
pub use query::query;
pub use timestamp::Timestamp;
pub use uuid::{StrictUuid, uuid};

/// Parses `true` or `false`, in lower case.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}
