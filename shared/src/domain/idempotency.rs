//! Idempotency keys: a request that is sent again is the same request.
//! Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorCode};

/// The header that carries a key.
pub const HEADER: &str = "idempotency-key";

/// The most characters that a key may have.
const MAX_KEY: usize = 255;

/// How long an attempt may take before another may take its place, in seconds: longer than any function runs.
const LEASE_SECONDS: u32 = 30;

/// A key, and what was asked under it. Serialises to the arguments of our RPC functions.
#[derive(Clone, Debug, Serialize)]
pub struct IdempotencyKey {
    #[serde(rename = "p_idempotency_key")]
    key: String,
    #[serde(rename = "p_request_hash")]
    request_hash: String,
}

/// A key of a request that takes more than one transaction.
#[derive(Clone, Debug, Serialize)]
pub struct LeasedKey {
    #[serde(flatten)]
    idempotency: IdempotencyKey,
    p_lease_seconds: u32,
}

impl IdempotencyKey {
    /// Checks a key, and hashes the body in its canonical form (RFC 8785): the order of fields and the spelling of numbers do
    /// not make another request.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidIdempotencyKey`].
    pub fn new(key: &[u8], body: &Value) -> Result<Self, Error> {
        let sound = (1..=MAX_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let key = String::from_utf8(key.to_vec()).ok().filter(|_| sound);
        let key = key.ok_or_else(|| Error::new(ErrorCode::InvalidIdempotencyKey))?;
        let canonical = serde_json_canonicalizer::to_vec(&canonical_numbers(body.clone()))
            .map_err(|error| Error::new(ErrorCode::Internal).cause(error))?;
        let request_hash =
            digest(&SHA256, &canonical).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key, request_hash })
    }

    /// The same for a request that asks another system in between.
    pub fn with_lease(self) -> LeasedKey {
        LeasedKey { idempotency: self, p_lease_seconds: LEASE_SECONDS }
    }
}

/// The body with each integer that RFC 8785 would write like its neighbour, since doubles end at 2^53 (RFC 7493, section 2.2), as a
/// text that no body can hold.
fn canonical_numbers(body: Value) -> Value {
    const MOST: u64 = (1 << 53) - 1;
    match body {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(_), _) | (_, Some(_)) if number.as_i64().is_none_or(|n| n.unsigned_abs() > MOST) => {
                Value::String(format!("\0{number}"))
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(canonical_numbers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, canonical_numbers(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(body: Value) -> String {
        IdempotencyKey::new(b"key", &body).unwrap().request_hash
    }

    #[test]
    fn the_same_request_spelled_otherwise_is_the_same() {
        let text = r#"{"b": 1.0, "a": "\u0041"}"#;
        assert_eq!(hash(serde_json::from_str(text).unwrap()), hash(json!({ "a": "A", "b": 1 })));
        assert_ne!(hash(json!({ "a": 1 })), hash(json!({ "a": 2 })));
        // Neighbours that are one double.
        let of = |n: u64| hash(json!({ "a": [n] }));
        assert_ne!(of(9_007_199_254_740_992), of(9_007_199_254_740_993));
        assert_ne!(hash(json!(i64::MIN)), hash(json!(i64::MIN + 1)));
        assert_ne!(hash(json!(u64::MAX)), hash(json!(u64::MAX - 1)));
        // The hash that any other implementation of SHA-256 and RFC 8785 gives for an empty object.
        assert_eq!(hash(json!({})), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn a_key_is_visible_ascii_of_a_bounded_length() {
        let new = |key: &[u8]| IdempotencyKey::new(key, &Value::Null);
        assert!(new(b"0192-abc!").is_ok() && new(&[b'x'; 255]).is_ok());
        for wrong in [&b""[..], b"two words", "schl\u{fc}ssel".as_bytes(), &[b'x'; 256]] {
            assert_eq!(new(wrong).unwrap_err().code, ErrorCode::InvalidIdempotencyKey);
        }
    }
}
