//! From an `Authorization` header to a caller.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde_json::value::RawValue;

use super::{AuthError, Caller, Jwks, claims::Claims};
use crate::platform::{http_client::Deadline, secret::Secret};

/// What every token must say.
#[derive(Clone, Debug)]
pub struct TokenRequirements {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

/// Verifies access tokens.
pub struct Verifier {
    jwks: Jwks,
    /// The project's shared secret, where it still signs with one (HS256).
    legacy: Option<DecodingKey>,
    expected: TokenRequirements,
}

impl Verifier {
    /// A verifier with the project's key set and, where one is configured, its legacy secret.
    pub fn new(jwks: Jwks, legacy: Option<Secret>, expected: TokenRequirements) -> Self {
        let legacy = legacy.map(|secret| DecodingKey::from_secret(secret.expose().as_bytes()));
        Self { jwks, legacy, expected }
    }

    /// Fetches the keys before the first request.
    pub async fn prefetch_keys(&self, deadline: Deadline) {
        self.jwks.prefetch(deadline).await;
    }

    /// Who sends this `Authorization` header.
    ///
    /// # Errors
    /// Why they are not let in.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        deadline: Deadline,
    ) -> Result<Caller, AuthError> {
        let token = authorization.and_then(bearer).ok_or(AuthError::NoToken)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::InvalidToken)?;
        // An extension that must be understood is none of ours (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::InvalidToken);
        }
        // The header only chooses between keys that are configured; each key brings its own algorithm.
        let claims = match (&self.legacy, header.alg, header.kid) {
            (Some(secret), Algorithm::HS256, _) => self.verify(token, secret, Algorithm::HS256)?,
            (_, _, Some(id)) => {
                let key = self.jwks.key(&id, deadline).await?;
                self.verify(token, &key.decoding, key.algorithm)?
            }
            _ => return Err(AuthError::InvalidToken),
        };
        Claims::parse(&claims)?.into_caller(claims, token)
    }

    fn verify(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Box<RawValue>, AuthError> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.expected.issuer]);
        validation.set_audience(&[&self.expected.audience]);
        // PostgREST checks the same token again a moment later; leniency here would only move the refusal there.
        validation.leeway = 0;
        validation.validate_nbf = true;
        let decoded = jsonwebtoken::decode::<Box<RawValue>>(token, key, &validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => AuthError::ExpiredToken,
            _ => AuthError::InvalidToken,
        })
    }
}

/// The scheme's name is case-insensitive (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}
