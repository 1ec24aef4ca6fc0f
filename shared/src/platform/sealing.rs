//! Sealing: a client secret is stored only encrypted (AES-256-GCM), bound to the session that it belongs to.
//!
//! The nonce is random, which is safe for 2³² secrets a key: rotate long before.
//! Source: NIST SP 800-38D, section 8.3.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::platform::secret::Secret;

/// The keys that seal and open.
#[derive(Clone)]
pub struct Sealer(Arc<Vec<Key>>);

struct Key {
    id: String,
    key: RandomizedNonceKey,
}

/// A sealed secret, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    /// Nonce and ciphertext, base64.
    #[serde(rename = "sealed_secret")]
    pub text: String,
    /// Which key sealed it.
    #[serde(rename = "sealing_key_id")]
    pub key_id: String,
}

/// What a sealed secret belongs to; it opens only together with the same.
#[derive(Clone, Copy, Debug)]
pub struct AssociatedData<'a> {
    /// The organisation.
    pub org_id: uuid::Uuid,
    /// Our session.
    pub session_id: uuid::Uuid,
    /// The ChatKit session.
    pub chatkit_session_id: &'a str,
}

impl AssociatedData<'_> {
    fn associated_data(&self) -> Aad<Vec<u8>> {
        // Two ids of fixed length and one at the end: no two of these can read the same.
        let ids = [
            self.org_id.as_bytes().as_slice(),
            self.session_id.as_bytes(),
            self.chatkit_session_id.as_bytes(),
        ];
        Aad::from(ids.concat())
    }
}

impl Sealer {
    /// Parses `CHATKIT_SEALING_KEYS`: `id:key[,id:key…]`, keys of 32 bytes in base64. The first seals, all of them open.
    ///
    /// # Errors
    /// What is wrong, without repeating a key.
    pub fn parse(value: &str) -> Result<Self, String> {
        let keys = value.split(',').map(|entry| parse_key(entry.trim())).collect::<Result<Vec<_>, _>>()?;
        let distinct: std::collections::HashSet<_> = keys.iter().map(|key| &key.id).collect();
        if distinct.len() != keys.len() {
            return Err("must not name two keys alike".to_owned());
        }
        Ok(Self(Arc::new(keys)))
    }

    /// Whether what this key sealed can be opened.
    #[cfg(feature = "doctor")]
    pub(crate) fn has_key(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id == key_id)
    }

    /// Seals a secret; `None` where the system has no randomness to give.
    pub fn seal(&self, secret: &Secret, belongs: AssociatedData<'_>) -> Option<Sealed> {
        let key = self.0.first()?;
        let mut sealed = secret.expose().as_bytes().to_vec();
        let nonce = key.key.seal_in_place_append_tag(belongs.associated_data(), &mut sealed).ok()?;
        let text = STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat());
        Some(Sealed { text, key_id: key.id.clone() })
    }

    /// Opens a sealed secret; `None` where its key is gone, or it belongs to something else.
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

fn parse_key(entry: &str) -> Result<Key, String> {
    let shape = || "must be id:key pairs separated by commas, each key 32 bytes in base64".to_owned();
    let (id, key) = entry.split_once(':').ok_or_else(shape)?;
    let bytes = STANDARD.decode(key).map_err(|_| shape())?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| shape())?;
    let named = !id.is_empty()
        && id.len() <= 32
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    named
        .then(|| Key { id: id.to_owned(), key })
        .ok_or_else(|| "key ids are 1 to 32 letters, digits, - or _".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    fn belongs(chatkit_session_id: &str) -> AssociatedData<'_> {
        AssociatedData { org_id: Uuid::from_u128(1), session_id: Uuid::from_u128(2), chatkit_session_id }
    }

    #[test]
    fn a_secret_opens_only_where_it_belongs() {
        let sealer = Sealer::parse(&entry("a", 1)).unwrap();
        let sealed = sealer.seal(&Secret::new("ek_canary"), belongs("cksess_1")).unwrap();
        assert!(!sealed.text.contains("canary"));
        assert_eq!(sealer.open(&sealed, belongs("cksess_1")).unwrap().expose(), "ek_canary");
        assert!(sealer.open(&sealed, belongs("cksess_2")).is_none());
    }

    #[test]
    fn keys_rotate_by_standing_second() {
        let old = Sealer::parse(&entry("a", 1)).unwrap();
        let sealed = old.seal(&Secret::new("ek"), belongs("cksess_1")).unwrap();
        let both = Sealer::parse(&format!("{},{}", entry("b", 2), entry("a", 1))).unwrap();
        assert!(both.open(&sealed, belongs("cksess_1")).is_some());
        assert_eq!(both.seal(&Secret::new("ek"), belongs("cksess_1")).unwrap().key_id, "b");
        assert!(Sealer::parse(&entry("b", 2)).unwrap().open(&sealed, belongs("cksess_1")).is_none());
    }

    #[test]
    fn wrong_keys_are_refused_without_being_shown() {
        for wrong in ["", "a", "a:short", "a:c2hvcnQ=", ":x"] {
            assert!(Sealer::parse(wrong).is_err_and(|reason| !reason.contains("c2hvcnQ")), "{wrong}");
        }
        assert!(Sealer::parse(&format!("{},{}", entry("a", 1), entry("a", 2))).is_err());
    }
}
