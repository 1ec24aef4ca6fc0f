//! Errors of an MCP tool call, classified by what may be done next.

use std::{fmt, time::Duration};

use crate::platform::egress::{EgressError, UrlRejection};

/// A tool call without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The tool was not called, so nothing was done.
    NotSent(Reason),
    /// The server answered with an error.
    Answered(ErrorResponse),
    /// The call was sent, but no readable response came back: it may have been executed.
    Unknown(Reason),
}

/// Reason of a failed call. Holds nothing that the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The egress guard rejects the registry's URL.
    Refused(UrlRejection),
    /// The registry names a credential that is not configured.
    CredentialMissing,
    /// The registry names a credential of another origin.
    CredentialElsewhere,
    /// The secret with the credential cannot be fetched, or is not a token.
    CredentialUnavailable,
    /// A person's answer does not fit the server's request for input.
    AnswerMismatch,
    /// The inputs do not match the input schema in the registry.
    InvalidInputs,
    /// The input schema in the registry cannot be used.
    UnusableSchema,
    Unreachable,
    /// The server speaks no TLS, or its certificate is not valid.
    Untrusted,
    TimedOut,
    ConnectionLost,
    /// The server forgot the session that it had just created.
    SessionLost,
    /// The server speaks no revision of MCP that we speak.
    Incompatible,
    /// The response is not MCP, or not a tool result.
    NotMcp,
    /// The responses to the call exceed the size limit.
    TooLarge,
    /// The tool result violates the contract.
    BadResult,
}

/// An error response of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// HTTP status. It is one of success if the error is in the JSON-RPC message.
    pub status: u16,
    /// JSON-RPC error code, if the HTTP status is one of success.
    pub rpc: Option<i32>,
    /// Delay that the server requests before a retry.
    pub retry_after: Option<Duration>,
    /// Whether this is the response to the tool call. Otherwise the tool was not even called.
    pub called: bool,
}

/// JSON-RPC code of an internal server error: <https://www.jsonrpc.org/specification#error_object>.
const INTERNAL_ERROR: i32 = -32603;

impl CallError {
    /// Returns whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent(reason) => !matches!(
                reason,
                Reason::Refused(_)
                    | Reason::CredentialMissing
                    | Reason::CredentialElsewhere
                    | Reason::AnswerMismatch
                    | Reason::InvalidInputs
                    | Reason::UnusableSchema
                    | Reason::Incompatible
            ),
            Self::Answered(answered) => {
                matches!(answered.status, 408 | 429 | 500..=599) || answered.rpc == Some(INTERNAL_ERROR)
            }
            Self::Unknown(_) => true,
        }
    }

    /// Returns whether an error of the probe is final, so that `initialize` is not tried. It is
    /// if the server cannot be connected to, rejects our credential, has moved, asks the client
    /// to wait, or speaks none of our revisions. Any other error may be an older server's
    /// response to an unknown request.
    pub(super) fn is_final_for_probe(&self) -> bool {
        match self {
            Self::NotSent(reason) => matches!(
                reason,
                Reason::Refused(_) | Reason::Unreachable | Reason::Untrusted | Reason::Incompatible
            ),
            Self::Answered(answered) => matches!(answered.status, 300..=399 | 401 | 407 | 429),
            Self::Unknown(_) => false,
        }
    }

    /// Returns whether a server that does not know the request responds with this error.
    pub(super) fn is_protocol_error(&self) -> bool {
        match self {
            Self::NotSent(reason) => matches!(reason, Reason::NotMcp | Reason::Incompatible),
            Self::Answered(answered) => {
                answered.rpc.is_some() || matches!(answered.status, 400 | 404..=406 | 415 | 422 | 501)
            }
            Self::Unknown(_) => false,
        }
    }

    /// Returns whether the tool may have been executed despite the error. A gateway responds with
    /// 502 or 504 for a server that may still be working. A server may fail with 500 after
    /// executing the tool; it sends 503 and 429 before that.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::Answered(answered) => {
                answered.called
                    && (matches!(answered.status, 500..=502 | 504..=599)
                        || answered.rpc == Some(INTERNAL_ERROR))
            }
            Self::Unknown(_) => true,
        }
    }

    /// Returns the delay that the server requests before a retry.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(answered) => answered.retry_after,
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// Returns the HTTP status, if the server responded.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answered) => Some(answered.status),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// Returns a stable code, which is stored and shown.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSent(reason) | Self::Unknown(reason) => reason.code(),
            Self::Answered(answered) => answered.code(),
        }
    }
}

impl Reason {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(UrlRejection::Malformed) => "url_malformed",
            Self::Refused(UrlRejection::NotHttps) => "url_not_https",
            Self::Refused(UrlRejection::Credentials) => "url_with_credentials",
            Self::Refused(UrlRejection::Address | UrlRejection::Name) => "address_refused",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialElsewhere => "credential_of_other_origin",
            Self::CredentialUnavailable => "credential_unavailable",
            Self::AnswerMismatch => "answer_unfit",
            Self::InvalidInputs => "invalid_inputs",
            Self::UnusableSchema => "unusable_input_schema",
            Self::Unreachable | Self::Untrusted => "unreachable",
            Self::TimedOut => "timed_out",
            Self::ConnectionLost => "connection_lost",
            Self::SessionLost => "session_lost",
            Self::Incompatible => "incompatible_revision",
            Self::NotMcp => "not_mcp",
            Self::TooLarge => "answer_too_large",
            Self::BadResult => "bad_result",
        }
    }
}

impl ErrorResponse {
    fn code(self) -> &'static str {
        match (self.rpc, self.status) {
            (Some(INTERNAL_ERROR), _) | (None, 500..=599) => "server_error",
            (Some(_), _) => "call_refused",
            (None, 300..=399) => "redirected",
            (None, 401 | 403) => "unauthorized",
            (None, 404) => "not_found",
            (None, 429) => "rate_limited",
            (None, _) => "call_refused",
        }
    }
}

impl From<&EgressError> for Reason {
    fn from(failure: &EgressError) -> Self {
        match failure {
            EgressError::Refused(refusal) => Self::Refused(*refusal),
            EgressError::Unreachable => Self::Unreachable,
            EgressError::Untrusted => Self::Untrusted,
            EgressError::Broken => Self::ConnectionLost,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, rpc: Option<i32>) -> CallError {
        CallError::Answered(ErrorResponse { status, rpc, retry_after: None, called: true })
    }

    #[test]
    fn errors_for_the_operator_are_not_retryable() {
        for passing in [
            CallError::NotSent(Reason::Unreachable),
            CallError::Unknown(Reason::TimedOut),
            answered(429, None),
            answered(503, None),
            answered(200, Some(INTERNAL_ERROR)),
        ] {
            assert!(passing.is_retryable(), "{passing:?}");
        }
        for lasting in [
            CallError::NotSent(Reason::Refused(UrlRejection::Name)),
            CallError::NotSent(Reason::CredentialMissing),
            answered(401, None),
            answered(302, None),
            answered(200, Some(-32602)),
        ] {
            assert!(!lasting.is_retryable(), "{lasting:?}");
        }
    }

    #[test]
    fn outcome_is_unknown_only_after_execution() {
        for after in [answered(500, None), answered(504, None), answered(200, Some(INTERNAL_ERROR))] {
            assert!(after.outcome_is_unknown(), "{after:?}");
        }
        for before in
            [answered(503, None), answered(429, None), answered(400, None), answered(200, Some(-32601))]
        {
            assert!(!before.outcome_is_unknown(), "{before:?}");
        }
        let handshake = ErrorResponse { status: 500, rpc: None, retry_after: None, called: false };
        assert!(!CallError::Answered(handshake).outcome_is_unknown());
    }
}
