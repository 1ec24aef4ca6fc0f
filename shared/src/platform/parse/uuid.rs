//! Strict UUIDs (RFC 9562).

use std::fmt;

use serde::{Deserialize, Deserializer, de::Visitor};
use uuid::Uuid;

/// Parses a UUID in the format of RFC 9562, section 4: 36 characters with hyphens, in either case.
/// The crate would also accept 32 digits, braces and `urn:uuid:`, and one id would have several
/// spellings in paths, cursors and tables.
#[allow(clippy::disallowed_methods)] // the only parser of UUIDs
pub fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A UUID in untrusted input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrictUuid(pub Uuid);

impl<'de> Deserialize<'de> for StrictUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = StrictUuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StrictUuid, E> {
                let why = "must be a UUID of 36 characters, hyphens included";
                uuid(text).map(StrictUuid).ok_or_else(|| E::custom(why))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl StrictUuid {
    /// Deserialises a field of type [`Uuid`], for `#[serde(deserialize_with)]`.
    pub fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        Self::deserialize(deserializer).map(|Self(id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_in_another_format_is_rejected() {
        let text = "01981d3c-0000-7000-8000-00000000abcd";
        assert_eq!(uuid(text).unwrap().to_string(), text);
        assert_eq!(uuid(&text.to_uppercase()), uuid(text));
        for wrong in [
            "01981d3c00007000800000000000abcd",
            "{01981d3c-0000-7000-8000-00000000abcd}",
            "urn:uuid:01981d3c-0000-7000-8000-00000000abcd",
            "01981d3c-0000-7000-8000-00000000abcg",
            "01981d3c-00007-000-8000-00000000abcd",
            " 1981d3c-0000-7000-8000-00000000abcd",
            "",
        ] {
            assert_eq!(uuid(wrong), None, "{wrong:?}");
            let json = serde_json::Value::from(wrong);
            assert!(serde_json::from_value::<StrictUuid>(json).is_err(), "{wrong:?}");
        }
    }
}
