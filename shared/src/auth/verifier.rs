//! Token verifier: turns an `Authorization` header into a verified caller.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde_json::value::RawValue;

use super::{AuthError, Caller, Jwks, claims::SupabaseClaims};
use crate::platform::{
    config::require_length, http_client::Deadline, parse::Timestamp, secret_store::Rotating,
};

/// Issuer (`iss`) and audience (`aud`) that every token must have.
#[derive(Clone, Debug)]
pub struct TokenRequirements {
    pub issuer: String,
    pub audience: String,
}

/// The project's legacy shared secret, which signs user tokens with HS256.
pub struct LegacySecret(DecodingKey);

impl LegacySecret {
    /// Parses `SUPABASE_JWT_SECRET`. Supabase requires 32 characters too.
    ///
    /// # Errors
    /// Returns the minimum length.
    pub fn parse(value: &str) -> Result<Self, String> {
        require_length(value, 32).map(|()| Self(DecodingKey::from_secret(value.as_bytes())))
    }
}

/// Verifies access tokens with the project's key set or its legacy shared secret.
pub struct Verifier {
    jwks: Jwks,
    /// The legacy shared secret (HS256), for projects that still sign with it.
    legacy: Option<Rotating<LegacySecret>>,
    expected: TokenRequirements,
}

impl Verifier {
    /// Creates a verifier. `legacy` is the shared secret, if one is configured.
    pub fn new(jwks: Jwks, legacy: Option<Rotating<LegacySecret>>, expected: TokenRequirements) -> Self {
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
            (Some(secret), Algorithm::HS256, _) => self.verify_legacy(token, secret).await?,
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

    /// Verifies a token with the legacy secret. While the secret is rotated, it can be signed with
    /// either value.
    async fn verify_legacy(
        &self,
        token: &str,
        secret: &Rotating<LegacySecret>,
    ) -> Result<Box<RawValue>, AuthError> {
        let verify = |secret: &LegacySecret| match self.decode(token, &secret.0, Algorithm::HS256) {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => None,
            decoded => Some(decoded.map_err(|error| auth_error(&error))),
        };
        secret.find(verify).await.unwrap_or(Err(AuthError::InvalidToken))
    }

    fn verify(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Box<RawValue>, AuthError> {
        self.decode(token, key, algorithm).map_err(|error| auth_error(&error))
    }

    fn decode(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Box<RawValue>, jsonwebtoken::errors::Error> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.expected.issuer]);
        validation.set_audience(&[&self.expected.audience]);
        // The library has one leeway for `exp` and `nbf`. `exp` has none: a caller can refresh an
        // expired token, and a leeway would extend the life of a stolen one.
        validation.leeway = 0;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Box<RawValue>>(token, key, &validation);
        decoded.map(|token| token.claims)
    }
}

fn auth_error(error: &jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::ExpiredSignature => AuthError::ExpiredToken,
        _ => AuthError::InvalidToken,
    }
}

/// Returns the token in an `Authorization` header. The scheme's name is case-insensitive (RFC 9110,
/// section 11.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}
