//! Idempotency keys: a request that is repeated under its key is executed once.
//! Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorCode};

pub const HEADER: &str = "idempotency-key";

/// Maximum length of a key, in characters.
const MAX_KEY: usize = 255;

/// Lease of an attempt, in seconds, after which another attempt may replace it. Longer than any
/// function runs.
const LEASE_SECONDS: u32 = 30;

/// A key and the hash of the request body. Serialises to the arguments of RPC functions.
#[derive(Clone, Debug, Serialize)]
pub struct IdempotencyKey {
    #[serde(rename = "p_idempotency_key")]
    key: String,
    #[serde(rename = "p_request_hash")]
    request_hash: String,
}

/// A key for a request that takes more than one transaction.
#[derive(Clone, Debug, Serialize)]
pub struct LeasedKey {
    #[serde(flatten)]
    idempotency: IdempotencyKey,
    p_lease_seconds: u32,
}

impl IdempotencyKey {
    /// Validates a key, and hashes the body.
    ///
    /// # Errors
    /// Returns [`ErrorCode::InvalidIdempotencyKey`] unless the key is 1 to 255 visible ASCII
    /// characters.
    pub fn new(key: &[u8], body: &Value) -> Result<Self, Error> {
        let sound = (1..=MAX_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let key = String::from_utf8(key.to_vec()).ok().filter(|_| sound);
        let key = key.ok_or_else(|| Error::new(ErrorCode::InvalidIdempotencyKey))?;
        Ok(Self { key, request_hash: request_hash(body)? })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn request_hash(&self) -> &str {
        &self.request_hash
    }

    /// Adds a lease, for a request that calls another system between two transactions.
    pub fn with_lease(self) -> LeasedKey {
        LeasedKey { idempotency: self, p_lease_seconds: LEASE_SECONDS }
    }
}

/// Returns the SHA-256 hash of a body in canonical form (RFC 8785): the order of fields and the
/// spelling of numbers do not matter.
///
/// # Errors
/// Fails only if the body cannot be serialised, which does not happen for parsed JSON.
pub fn request_hash(body: &Value) -> Result<String, Error> {
    let canonical = serde_json_canonicalizer::to_vec(&canonical_numbers(body.clone()))
        .map_err(|error| Error::new(ErrorCode::Internal).cause(error))?;
    Ok(digest(&SHA256, &canonical).as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Replaces integers beyond 2^53 - 1 by a string that no JSON body can contain. RFC 8785 writes
/// numbers as doubles, so neighbouring integers would get the same hash (RFC 7493, section 2.2).
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
    fn equivalent_json_has_the_same_hash() {
        let text = r#"{"b": 1.0, "a": "\u0041"}"#;
        assert_eq!(hash(serde_json::from_str(text).unwrap()), hash(json!({ "a": "A", "b": 1 })));
        assert_ne!(hash(json!({ "a": 1 })), hash(json!({ "a": 2 })));
        // Neighbouring integers that are the same double.
        let hash_of_array = |n: u64| hash(json!({ "a": [n] }));
        assert_ne!(hash_of_array(9_007_199_254_740_992), hash_of_array(9_007_199_254_740_993));
        assert_ne!(hash(json!(i64::MIN)), hash(json!(i64::MIN + 1)));
        assert_ne!(hash(json!(u64::MAX)), hash(json!(u64::MAX - 1)));
        // The value that any implementation of SHA-256 and RFC 8785 gives for an empty object.
        assert_eq!(hash(json!({})), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn key_must_be_bounded_visible_ascii() {
        let new = |key: &[u8]| IdempotencyKey::new(key, &Value::Null);
        assert!(new(b"0192-abc!").is_ok() && new(&[b'x'; 255]).is_ok());
        for wrong in [&b""[..], b"two words", "schl\u{fc}ssel".as_bytes(), &[b'x'; 256]] {
            assert_eq!(new(wrong).unwrap_err().code, ErrorCode::InvalidIdempotencyKey);
        }
    }
}
