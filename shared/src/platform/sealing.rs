//! Encryption of client secrets for storage (AES-256-GCM), bound to the session of the secret.
//!
//! The nonce is random, which is safe for 2³² secrets per key: rotate keys long before that.
//! Source: NIST SP 800-38D, section 8.3.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::platform::secret::Secret;

/// The encryption keys. The first one seals, and all of them open.
#[derive(Clone)]
pub struct Sealer(Arc<Vec<SealingKey>>);

struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
}

/// An encrypted secret in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    /// Nonce and ciphertext, encoded in base64.
    #[serde(rename = "sealed_secret")]
    pub text: String,
    #[serde(rename = "sealing_key_id")]
    pub key_id: String,
}

/// The values to which a sealed secret is bound. It can be opened only with the same values.
#[derive(Clone, Copy, Debug)]
pub struct AssociatedData<'a> {
    pub org_id: uuid::Uuid,
    pub session_id: uuid::Uuid,
    pub chatkit_session_id: &'a str,
}

impl AssociatedData<'_> {
    fn associated_data(&self) -> Aad<Vec<u8>> {
        // Two ids of fixed length and one at the end, so that different values
        // cannot have the same bytes.
        let ids = [
            self.org_id.as_bytes().as_slice(),
            self.session_id.as_bytes(),
            self.chatkit_session_id.as_bytes(),
        ];
        Aad::from(ids.concat())
    }
}

impl Sealer {
    /// Parses `CHATKIT_SEALING_KEYS`: `id:key[,id:key…]`, keys of 32 bytes in base64. The first key
    /// seals, and all of them open.
    ///
    /// # Errors
    /// Returns what is wrong, without repeating a key.
    pub fn parse(value: &str) -> Result<Self, String> {
        let keys = value.split(',').map(|entry| parse_key(entry.trim())).collect::<Result<Vec<_>, _>>()?;
        let distinct: std::collections::HashSet<_> = keys.iter().map(|key| &key.id).collect();
        if distinct.len() != keys.len() {
            return Err("must not name two keys alike".to_owned());
        }
        Ok(Self(Arc::new(keys)))
    }

    /// Returns whether secrets that this key sealed can be opened.
    #[cfg(feature = "doctor")]
    pub(crate) fn has_key(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id == key_id)
    }

    /// Encrypts a secret. Returns `None` if the system cannot provide randomness.
    pub fn seal(&self, secret: &Secret, belongs: AssociatedData<'_>) -> Option<Sealed> {
        let key = self.0.first()?;
        let mut sealed = secret.expose().as_bytes().to_vec();
        let nonce = key.key.seal_in_place_append_tag(belongs.associated_data(), &mut sealed).ok()?;
        let text = STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat());
        Some(Sealed { text, key_id: key.id.clone() })
    }

    /// Decrypts a secret. Returns `None` if its key is missing or it is bound to something else.
    pub fn open(&self, sealed: &Sealed, belongs: AssociatedData<'_>) -> Option<Secret> {
        let key = self.0.iter().find(|key| key.id == sealed.key_id)?;
        let bytes = STANDARD.decode(&sealed.text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let open = key.key.open_in_place(nonce, belongs.associated_data(), &mut text).ok()?;
        std::str::from_utf8(open).ok().map(Secret::new)
    }
}

fn parse_key(entry: &str) -> Result<SealingKey, String> {
    let shape = || "must be id:key pairs separated by commas, each key 32 bytes in base64".to_owned();
    let (id, key) = entry.split_once(':').ok_or_else(shape)?;
    let bytes = STANDARD.decode(key).map_err(|_| shape())?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| shape())?;
    let named = !id.is_empty()
        && id.len() <= 32
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    named
        .then(|| SealingKey { id: id.to_owned(), key })
        .ok_or_else(|| "key ids are 1 to 32 letters, digits, - or _".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    fn associated_data(chatkit_session_id: &str) -> AssociatedData<'_> {
        AssociatedData { org_id: Uuid::from_u128(1), session_id: Uuid::from_u128(2), chatkit_session_id }
    }

    #[test]
    fn sealed_secret_opens_only_with_the_same_associated_data() {
        let sealer = Sealer::parse(&entry("a", 1)).unwrap();
        let sealed = sealer.seal(&Secret::new("ek_canary"), associated_data("cksess_1")).unwrap();
        assert!(!sealed.text.contains("canary"));
        assert_eq!(sealer.open(&sealed, associated_data("cksess_1")).unwrap().expose(), "ek_canary");
        assert!(sealer.open(&sealed, associated_data("cksess_2")).is_none());
    }

    #[test]
    fn secret_of_a_rotated_key_opens_while_the_key_is_listed() {
        let old = Sealer::parse(&entry("a", 1)).unwrap();
        let sealed = old.seal(&Secret::new("ek"), associated_data("cksess_1")).unwrap();
        let both = Sealer::parse(&format!("{},{}", entry("b", 2), entry("a", 1))).unwrap();
        assert!(both.open(&sealed, associated_data("cksess_1")).is_some());
        assert_eq!(both.seal(&Secret::new("ek"), associated_data("cksess_1")).unwrap().key_id, "b");
        assert!(Sealer::parse(&entry("b", 2)).unwrap().open(&sealed, associated_data("cksess_1")).is_none());
    }

    #[test]
    fn invalid_keys_are_rejected_without_being_shown() {
        for wrong in ["", "a", "a:short", "a:c2hvcnQ=", ":x"] {
            assert!(Sealer::parse(wrong).is_err_and(|reason| !reason.contains("c2hvcnQ")), "{wrong}");
        }
        assert!(Sealer::parse(&format!("{},{}", entry("a", 1), entry("a", 2))).is_err());
    }
}
