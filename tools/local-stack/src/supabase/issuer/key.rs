//! Signing keys and their public halves.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

/// The asymmetric algorithms of Supabase that both PostgREST and the functions verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256, the default of new projects.
    Es256,
    /// RSA PKCS#1 with SHA-256.
    Rs256,
}

/// A private key and its id.
pub struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
}

impl SigningKey {
    /// A new key with a random id.
    pub fn generate(algorithm: Algorithm) -> Result<Self> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256),
            Algorithm::Rs256 => rsa::KeyPair::generate(KeySize::Rsa2048).map(Pair::Rs256),
        };
        let pair = pair.map_err(|_| anyhow!("generating a {algorithm:?} key failed"))?;
        Ok(Self { id: Uuid::new_v4().to_string(), pair })
    }

    /// Its `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of its algorithm in a token's header.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// Signs in the format of JWS: for ES256 two numbers of 32 bytes, not DER.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| anyhow!("signing with {} failed", self.algorithm()))
    }

    /// Returns the public key with the fields that Supabase publishes.
    pub fn public_jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Es256(pair) => {
                // An uncompressed point: the byte 4, then x and y of 32 bytes each.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
            Pair::Rs256(pair) => {
                let public = pair.public_key();
                let number = |n: aws_lc_rs::io::Positive| base64url(n.big_endian_without_leading_zero());
                json!({ "kty": "RSA", "n": number(public.modulus()), "e": number(public.exponent()) })
            }
        };
        jwk["alg"] = self.algorithm().into();
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk["key_ops"] = json!(["verify"]);
        jwk["ext"] = true.into();
        jwk
    }

    /// Returns the public key as PEM text, which a careless verifier would accept as an HMAC
    /// secret.
    pub fn public_pem(&self) -> Result<String> {
        let der: PublicKeyX509Der = match &self.pair {
            Pair::Es256(pair) => pair.public_key().as_der(),
            Pair::Rs256(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| anyhow!("encoding the public key failed"))?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }
}

/// Returns the RSA key of this process: generating one takes a tenth of a second.
pub fn shared_rs256() -> Result<Arc<SigningKey>> {
    static SHARED: Mutex<Option<Arc<SigningKey>>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*shared {
        Some(key) => Ok(key.clone()),
        None => Ok(shared.insert(Arc::new(SigningKey::generate(Algorithm::Rs256)?)).clone()),
    }
}

/// base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Random text of letters, digits, `-` and `_`.
pub fn random_string(length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("the system returned no random bytes"))?;
    let mut text = base64url(&bytes);
    text.truncate(length);
    Ok(text)
}
