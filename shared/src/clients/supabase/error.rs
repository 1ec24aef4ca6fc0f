//! Errors of Supabase requests, separating errors that our SQL functions raise from all others.

use std::time::Duration;

pub use crate::platform::http_client::classification::supabase::SupabaseCause;
use crate::platform::http_client::{
    HttpResponse, RetryDecision, TransportError,
    classification::{ClassifiedRejection, sanitize_code, supabase::TABLE},
};

/// Error of a Supabase request.
#[derive(Debug)]
pub enum Error {
    /// One of our RPC functions raised an error: `raise sqlstate 'PTnnn'` with our code as message.
    Rpc {
        /// HTTP status, chosen by the function.
        status: u16,
        /// Our stable code, such as `session_ended`.
        code: String,
        /// Subject of the error, such as an event's id. Our SQL writes it, without secrets.
        detail: Option<String>,
        /// Place of the error in the arguments, such as `/p_tools/1`.
        hint: Option<String>,
    },
    Failed(RequestFailure),
}

/// A failure outside our functions.
#[derive(Debug)]
pub struct RequestFailure {
    pub cause: SupabaseCause,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// Code of PostgREST or PostgreSQL, or why a response cannot be parsed.
    pub code: String,
    /// Delay that Supabase requests before a retry, if any.
    pub retry_after: Option<Duration>,
    /// Transport error, if there was no response.
    pub failure: Option<TransportError>,
}

impl Error {
    /// Returns whether one of our functions raised the error, with any code.
    pub fn is_rpc_error(&self) -> bool {
        matches!(self, Self::Rpc { .. })
    }

    /// Returns whether one of our functions raised the error with this code.
    pub fn has_code(&self, with: &str) -> bool {
        matches!(self, Self::Rpc { code, .. } if code == with)
    }

    pub fn cause(&self) -> SupabaseCause {
        match self {
            Self::Rpc { .. } => SupabaseCause::Refused,
            Self::Failed(failed) => failed.cause,
        }
    }

    /// Creates the error of a request that cannot be built, or of a successful
    /// response that cannot be parsed.
    pub(super) fn invalid_response(status: Option<u16>, why: String) -> Self {
        let cause = SupabaseCause::BadAnswer;
        Self::Failed(RequestFailure { cause, status, code: why, retry_after: None, failure: None })
    }
}

/// Returns the retry decision for a response. Every request may be repeated.
pub(super) fn retry_decision(answer: &HttpResponse, as_user: bool) -> RetryDecision {
    answer.cause(&TABLE, as_user).map(SupabaseCause::retry_decision).unwrap_or_default()
}

impl From<ClassifiedRejection<SupabaseCause>> for Error {
    fn from(rejection: ClassifiedRejection<SupabaseCause>) -> Self {
        let ClassifiedRejection { cause, status, code, message, details, hint, retry_after } = rejection;
        if cause == SupabaseCause::Refused {
            let code = sanitize_code(message.as_deref().unwrap_or_default(), 40).to_owned();
            return Self::Rpc { status, code, detail: details, hint };
        }
        Self::Failed(RequestFailure { cause, status: Some(status), code, retry_after, failure: None })
    }
}

impl From<TransportError> for Error {
    fn from(failure: TransportError) -> Self {
        Self::Failed(RequestFailure {
            cause: SupabaseCause::from_transport_error(&failure),
            status: None,
            code: String::new(),
            retry_after: None,
            failure: Some(failure),
        })
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let failed = match self {
            Self::Rpc { code, .. } => return write!(f, "Supabase: our function refused with {code}"),
            Self::Failed(failed) => failed,
        };
        write!(f, "Supabase: {:?}", failed.cause)?;
        failed.status.map_or(Ok(()), |status| write!(f, ", answered {status}"))?;
        if failed.code.is_empty() { Ok(()) } else { write!(f, " ({})", failed.code) }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(failed) => failed.failure.as_ref().map(|failure| failure as _),
            Self::Rpc { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &'static str) -> Error {
        HttpResponse::for_test(status, body).accepted(&TABLE, false).unwrap_err().into()
    }

    #[test]
    fn rpc_errors_are_distinguished_from_postgrest_errors() {
        assert!(error(409, r#"{"code":"PT409","message":"session_ended"}"#).has_code("session_ended"));
        assert_eq!(
            error(409, r#"{"code":"23505","message":"duplicate key"}"#).cause(),
            SupabaseCause::BadAnswer
        );
    }

    #[test]
    fn malformed_error_codes_are_dropped() {
        assert!(!error(500, r#"{"code":"no such key: sb_secret_x"}"#).to_string().contains("sb_secret"));
        let refused = error(409, r#"{"code":"PT409","message":"Bearer sb_secret_x"}"#);
        assert!(matches!(refused, Error::Rpc { code, .. } if code.is_empty()));
    }
}
