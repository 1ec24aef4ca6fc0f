//! Strict query strings (WHATWG URL, `application/x-www-form-urlencoded`).

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::error::{Error, FieldError};

/// Parses a query string in which each parameter occurs once. The WHATWG parser corrects invalid
/// escapes (RFC 3986, section 2.1) and bytes that are not UTF-8. Both are rejected here, since the
/// response would otherwise answer another question than the caller asked.
///
/// # Errors
/// Returns `invalid_request` with the name of the parameter.
pub fn query<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let mut names = HashSet::new();
    for (raw, (name, _)) in query.split('&').filter(|raw| !raw.is_empty()).zip(pairs(query)) {
        let invalid = |detail| Err(Error::invalid(vec![FieldError::at(name.clone(), detail)]));
        if !is_escaped(raw) {
            return invalid("has a % that two hexadecimal digits do not follow");
        }
        if !is_utf8(raw) {
            return invalid("is not UTF-8");
        }
        if !names.insert(name.clone()) {
            return invalid("is given twice");
        }
    }
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs(query))).map_err(|error| {
        let name = error.path().to_string();
        let pointer = if name == "." { String::new() } else { name };
        Error::invalid(vec![FieldError::parsing(pointer, error.inner())])
    })
}

fn pairs(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}

fn is_escaped(raw: &str) -> bool {
    raw.split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Returns whether a pair with valid escapes decodes to UTF-8.
fn is_utf8(raw: &str) -> bool {
    let mut parts = raw.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or_default();
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::parse::{Integer, StrictUuid, Timestamp};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // only deserialised
    struct Query {
        limit: Option<Integer<u16>>,
        text: Option<String>,
        at: Option<Timestamp>,
        id: Option<StrictUuid>,
    }

    fn pointer(text: &str) -> Option<String> {
        query::<Query>(text).err().map(|error| error.fields[0].pointer.clone())
    }

    #[test]
    fn invalid_parameter_is_reported_by_name() {
        assert_eq!(pointer("limit=5&text=a%20b+c%C3%A9&at=2026-11-22T10:00:00%2B01:00"), None);
        assert_eq!(pointer(""), None);
        assert_eq!(query::<Query>("text=%C3%A9+%2B").unwrap().text.as_deref(), Some("é +"));
        for (text, name) in [
            ("limit=+5", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=05", "limit"),
            ("limit=", "limit"),
            ("limit=5&limit=5", "limit"),
            ("text=%", "text"),
            ("text=%4", "text"),
            ("text=%zz", "text"),
            ("text=%+1", "text"),
            ("text=%FF", "text"),
            ("text=%ED%A0%80", "text"),
            ("limit=5&&other=1", "other"),
            // A plus sign means a space, as browsers write it, so the plus sign of
            // an offset must be escaped.
            ("at=2026-11-22T10:00:00+01:00", "at"),
            ("id=01981d3c000070008000000000000000", "id"),
        ] {
            assert_eq!(pointer(text).as_deref(), Some(name), "{text}");
        }
    }
}
