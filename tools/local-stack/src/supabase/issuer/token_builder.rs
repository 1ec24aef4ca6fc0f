//! Builds valid and invalid tokens.

use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::key::{Algorithm, SigningKey, base64url};
use super::{Issuer, now};

/// The signature of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The issuer's current key.
    Es256,
    /// The issuer's RSA key.
    Rs256,
    /// The legacy secret; no `kid`.
    Hs256,
    /// No signature, and `alg` is `none`.
    Unsigned,
    /// HMAC with the issuer's public RSA key as the secret, under that key's `kid`. Anyone can
    /// create it.
    HmacWithPublicKey,
    /// An unrelated ES256 key, under the `kid` of the issuer's key.
    ForeignKey,
    /// An unrelated ES256 key, under its own unknown `kid`.
    UnknownKey,
}

/// Starts with a valid token; each method changes one part.
#[must_use = "call `sign` to create the token"]
pub struct TokenBuilder<'a> {
    issuer: &'a Issuer,
    signer: Signer,
    /// The secret of HS256.
    secret: String,
    header: Vec<(String, Value)>,
    claims: Map<String, Value>,
    tampered: bool,
}

impl<'a> TokenBuilder<'a> {
    pub(super) fn new(issuer: &'a Issuer, claims: Map<String, Value>) -> Self {
        let secret = issuer.legacy_secret().to_owned();
        Self { issuer, signer: Signer::Es256, secret, header: Vec::new(), claims, tampered: false }
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets the expiry to `seconds_ago` seconds in the past.
    pub fn expired(self, seconds_ago: i64) -> Self {
        self.claim("exp", now() - seconds_ago)
    }

    /// Sets a header field, whatever the signer; null removes it.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.push((name.to_owned(), value.into()));
        self
    }

    pub fn signed_by(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    /// Signs with another legacy secret than the issuer's.
    pub fn signed_with_secret(mut self, secret: &str) -> Self {
        (self.signer, self.secret) = (Signer::Hs256, secret.to_owned());
        self
    }

    /// Changes the subject after signing.
    pub fn tampered(mut self) -> Self {
        self.tampered = true;
        self
    }

    /// Returns the token. If signing fails, the signature is empty and the token invalid.
    pub fn sign(self) -> String {
        let (es256, rs256) = {
            let keys = self.issuer.keys();
            (keys.es256.clone(), keys.rs256.clone())
        };
        let stranger = SigningKey::generate(Algorithm::Es256).ok();
        let asymmetric = |key: &SigningKey| json!({ "alg": key.algorithm(), "kid": key.id(), "typ": "JWT" });
        let mut header = match (self.signer, &stranger) {
            (Signer::Rs256, _) => asymmetric(&rs256),
            (Signer::Hs256, _) => json!({ "alg": "HS256", "typ": "JWT" }),
            (Signer::Unsigned, _) => json!({ "alg": "none", "typ": "JWT" }),
            (Signer::HmacWithPublicKey, _) => json!({ "alg": "HS256", "kid": rs256.id(), "typ": "JWT" }),
            (Signer::UnknownKey, Some(stranger)) => asymmetric(stranger),
            _ => asymmetric(&es256),
        };
        for (name, value) in &self.header {
            match (value, header.as_object_mut()) {
                (Value::Null, Some(header)) => drop(header.remove(name)),
                _ => header[name] = value.clone(),
            }
        }
        let part = |part: &Value| base64url(part.to_string().as_bytes());
        let mut claims = Value::Object(self.claims);
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = match self.signer {
            Signer::Es256 => es256.sign(message.as_bytes()).unwrap_or_default(),
            Signer::Rs256 => rs256.sign(message.as_bytes()).unwrap_or_default(),
            Signer::Hs256 => hmac256(&self.secret, &message),
            Signer::Unsigned => Vec::new(),
            Signer::HmacWithPublicKey => hmac256(&rs256.public_pem().unwrap_or_default(), &message),
            Signer::ForeignKey | Signer::UnknownKey => {
                stranger.and_then(|key| key.sign(message.as_bytes()).ok()).unwrap_or_default()
            }
        };
        if self.tampered {
            claims["sub"] = uuid::Uuid::new_v4().to_string().into();
        }
        format!("{}.{}.{}", part(&header), part(&claims), base64url(&signature))
    }
}

fn hmac256(secret: &str, message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}
