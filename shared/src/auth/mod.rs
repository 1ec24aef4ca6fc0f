//! Authentication of callers: verifies Supabase user access tokens (JWT).

mod assurance;
mod caller;
mod claims;
mod jwks;
mod verifier;

pub use assurance::{Assurance, DecisionRules};
pub use caller::{Caller, OrgRole, TokenClaims};
pub use jwks::Jwks;
#[cfg(feature = "doctor")]
pub(crate) use jwks::{RETRY_POLICY, count_usable_keys};
pub(crate) use verifier::bearer;
pub use verifier::{LegacySecret, TokenRequirements, Verifier};

use crate::error::{Error, ErrorCode};

/// Reason why a caller is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// The request has no `Authorization: Bearer …` header.
    NoToken,
    /// The token does not belong to this project: it is malformed, has another issuer or audience,
    /// or has a wrong signature.
    InvalidToken,
    /// The token was valid and has expired.
    ExpiredToken,
    /// The user signed in anonymously. Such a user has no organisation and cannot use the API.
    Anonymous,
    /// The user does not belong to an organisation (`app_metadata.org_id`).
    NoOrganisation,
    /// The project's keys could not be fetched, so the token could not be checked. Holds the
    /// code that describes the cause.
    KeysUnavailable(ErrorCode),
}

impl From<AuthError> for Error {
    fn from(refusal: AuthError) -> Self {
        Self::new(match refusal {
            AuthError::NoToken => ErrorCode::MissingToken,
            AuthError::InvalidToken => ErrorCode::InvalidToken,
            AuthError::ExpiredToken => ErrorCode::ExpiredToken,
            AuthError::Anonymous => ErrorCode::AnonymousUser,
            AuthError::NoOrganisation => ErrorCode::NoOrganisation,
            AuthError::KeysUnavailable(code) => code,
        })
    }
}
