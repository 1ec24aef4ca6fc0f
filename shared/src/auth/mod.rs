//! Who is calling: Supabase's user access tokens, verified here.

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
pub use verifier::{TokenRequirements, Verifier};

use crate::error::{Error, ErrorCode};

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// There is no `Authorization: Bearer …`.
    NoToken,
    /// The token is not one of this project's: malformed, of another issuer or audience, wrongly signed.
    InvalidToken,
    /// It was one, but its time is over.
    ExpiredToken,
    /// An anonymous sign-in has no organisation and opens nothing.
    Anonymous,
    /// The user belongs to no organisation (`app_metadata.org_id`).
    NoOrganisation,
    /// The project's keys could not be fetched, so nothing can be said of the token; with the code of why.
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
