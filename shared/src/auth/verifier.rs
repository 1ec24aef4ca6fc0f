//! Token verifier: turns an `Authorization` header into a verified caller.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde_json::value::RawValue;

use super::{AuthError, Caller, Jwks, claims::SupabaseClaims};
use crate::platform::{http_client::Deadline, parse::Timestamp, secret::Secret};

/// Issuer (`iss`) and audience (`aud`) that every token must have.
#[derive(Clone, Debug)]
pub struct TokenRequirements {
    pub issuer: String,
    pub audience: String,
}

/// Verifies access tokens with the project's key set or its legacy shared secret.
pub struct Verifier {
    jwks: Jwks,
    /// The legacy shared secret (HS256), for projects that still sign with it.
    legacy: Option<DecodingKey>,
    expected: TokenRequirements,
}

impl Verifier {
    /// Creates a verifier. `legacy` is the shared secret, if one is configured.
    pub fn new(jwks: Jwks, legacy: Option<Secret>, expected: TokenRequirements) -> Self {
        let legacy = legacy.map(|secret| DecodingKey::from_secret(secret.expose().as_bytes()));
        Self { jwks, legacy, expected }
    }

    /// Fetches the key set before the first request needs it.
    pub async fn prefetch_keys(&self, deadline: Deadline) {
        self.jwks.prefetch(deadline).await;
    }

    /// Verifies the token in an `Authorization` header and returns the caller.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        deadline: Deadline,
    ) -> Result<Caller, AuthError> {
        let token = authorization.and_then(bearer).ok_or(AuthError::NoToken)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::InvalidToken)?;
        // `crit` lists extensions that must be understood, and none is
        // supported (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::InvalidToken);
        }
        // The header only selects among the configured keys. Each key determines its own algorithm.
        let claims = match (&self.legacy, header.alg, header.kid) {
            (Some(secret), Algorithm::HS256, _) => self.verify(token, secret, Algorithm::HS256)?,
            (_, _, Some(id)) => {
                let key = self.jwks.key(&id, deadline).await?;
                self.verify(token, &key.decoding, key.algorithm)?
            }
            _ => return Err(AuthError::InvalidToken),
        };
        let parsed = SupabaseClaims::parse(&claims)?;
        if parsed.is_premature(Timestamp::now()) {
            return Err(AuthError::InvalidToken);
        }
        parsed.into_caller(claims, token)
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
        // The library has one leeway for `exp` and `nbf`. `exp` has none: a caller can refresh an
        // expired token, and a leeway would extend the life of a stolen one.
        validation.leeway = 0;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Box<RawValue>>(token, key, &validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => AuthError::ExpiredToken,
            _ => AuthError::InvalidToken,
        })
    }
}

/// Returns the token in an `Authorization` header. The scheme's name is case-insensitive (RFC 9110,
/// section 11.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}
