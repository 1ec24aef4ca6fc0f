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
pub(crate) use jwks::{MANNER, usable_keys};
pub use verifier::{Expected, Verifier};

use crate::error::{Code, Error};

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
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
    KeysUnavailable(Code),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(match refusal {
            Refusal::NoToken => Code::MissingToken,
            Refusal::InvalidToken => Code::InvalidToken,
            Refusal::ExpiredToken => Code::ExpiredToken,
            Refusal::Anonymous => Code::AnonymousUser,
            Refusal::NoOrganisation => Code::NoOrganisation,
            Refusal::KeysUnavailable(code) => code,
        })
    }
}
