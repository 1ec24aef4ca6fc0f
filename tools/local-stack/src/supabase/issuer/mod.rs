//! The token issuer: signing keys, their public halves, valid and invalid tokens.

mod key;
mod token_builder;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use key::random_string;
use key::{Algorithm, SigningKey};
pub use token_builder::{Signer, TokenBuilder};

use super::user::User;

/// Lifetime of a user's token: Supabase's default of one hour.
const LIFETIME_SECONDS: i64 = 3600;

/// Treatment of the replaced signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKey {
    /// It still verifies its tokens, as during a rotation.
    StaysValid,
    /// The key leaves the key set, and its tokens are invalid.
    Revoked,
}

/// Signs tokens as Supabase Auth does.
pub struct Issuer {
    url: String,
    legacy_secret: String,
    keys: Mutex<Keys>,
}

struct Keys {
    es256: Arc<SigningKey>,
    rs256: Arc<SigningKey>,
    /// Not used for signing, but still published.
    previous: Vec<Arc<SigningKey>>,
    /// Incremented by each change, so that caches notice it.
    generation: u64,
}

impl Issuer {
    /// Creates an issuer with the URL `{supabase_url}/auth/v1`.
    pub fn new(supabase_url: &str) -> Result<Self> {
        let keys = Keys {
            es256: Arc::new(SigningKey::generate(Algorithm::Es256)?),
            rs256: key::shared_rs256()?,
            previous: Vec::new(),
            generation: 0,
        };
        let legacy_secret = key::random_string(40)?;
        Ok(Self { url: format!("{supabase_url}/auth/v1"), legacy_secret, keys: Mutex::new(keys) })
    }

    /// The `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The secret of the legacy HS256 signatures.
    pub fn legacy_secret(&self) -> &str {
        &self.legacy_secret
    }

    /// A user's access token: ES256, valid for an hour.
    pub fn token(&self, user: &User) -> String {
        self.token_builder(user).sign()
    }

    /// Returns a builder with the claims of [`Issuer::token`].
    pub fn token_builder(&self, user: &User) -> TokenBuilder<'_> {
        TokenBuilder::new(self, self.claims(user))
    }

    /// A legacy API key: a long-lived HS256 token with a role and without a user.
    pub fn legacy_key(&self, role: &str) -> String {
        let now = now();
        let claims = json!({ "iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + 10 * 365 * 86_400 });
        let claims = claims.as_object().cloned().unwrap_or_default();
        TokenBuilder::new(self, claims).signed_by(Signer::Hs256).sign()
    }

    /// Generates a new ES256 key for signing.
    pub fn rotate(&self, old: OldKey) -> Result<()> {
        let fresh = Arc::new(SigningKey::generate(Algorithm::Es256)?);
        let mut keys = self.keys();
        let replaced = std::mem::replace(&mut keys.es256, fresh);
        if old == OldKey::StaysValid {
            keys.previous.push(replaced);
        }
        keys.generation += 1;
        Ok(())
    }

    /// The published JWKS: public keys only.
    pub fn jwks(&self) -> Value {
        let keys = self.keys();
        let published: Vec<Value> = [&keys.es256, &keys.rs256]
            .into_iter()
            .chain(&keys.previous)
            .map(|key| key.public_jwk())
            .collect();
        json!({ "keys": published })
    }

    /// The keys for PostgREST including the legacy secret, and a number that changes with them.
    pub fn verifying_keys(&self) -> (u64, Value) {
        // Read first, so that the next call notices a rotation in between.
        let generation = self.keys().generation;
        let mut jwks = self.jwks();
        let legacy =
            json!({ "kty": "oct", "alg": "HS256", "k": key::base64url(self.legacy_secret.as_bytes()) });
        if let Some(keys) = jwks["keys"].as_array_mut() {
            keys.push(legacy);
        }
        (generation, jwks)
    }

    fn claims(&self, user: &User) -> Map<String, Value> {
        let now = now();
        let claims = json!({
            "iss": self.url,
            "sub": user.id,
            "aud": "authenticated",
            "exp": now + LIFETIME_SECONDS,
            "iat": now,
            "email": user.email(),
            "phone": "",
            "app_metadata": user.app_metadata(),
            "user_metadata": {},
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{ "method": "password", "timestamp": now }],
            "session_id": Uuid::new_v4(),
            "is_anonymous": false,
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs().cast_signed())
}
