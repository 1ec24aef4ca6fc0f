//! Why a call brought no outcome, told apart by what may be done next.

use std::{fmt, time::Duration};

use crate::platform::egress::{EgressError, UrlRejection};

/// A call without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The tool was not called: nothing was done.
    NotSent(Reason),
    /// The server answered, with an error.
    Answered(ErrorResponse),
    /// The call was sent and no answer that can be understood came back: it may have been done.
    Unknown(Reason),
}

/// What went wrong. Nothing of what the server said is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The registry's URL may not be connected to.
    Refused(UrlRejection),
    /// The registry refers to a credential that is not configured.
    CredentialMissing,
    /// The registry refers to a credential of another origin.
    CredentialElsewhere,
    /// The answer to what the server asked for does not fit what it asked.
    AnswerUnfit,
    /// No connection.
    Unreachable,
    /// No TLS, or a certificate that is not sound.
    Untrusted,
    /// The time was over.
    TimedOut,
    /// The connection broke.
    ConnectionLost,
    /// The server forgot the session that it had just given.
    SessionLost,
    /// It speaks no revision of MCP that we do.
    Incompatible,
    /// It is no MCP, or no result of a tool.
    Nonsense,
    /// More than any answer may have.
    TooLarge,
    /// A result of a tool that is not as the contract says.
    BadResult,
}

/// An error that the server answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status: that of success where the error is in the message.
    pub status: u16,
    /// The JSON-RPC error code, where the status is one of success.
    pub rpc: Option<i32>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether it was the tool's call that was answered so; otherwise it was not even made.
    pub called: bool,
}

/// JSON-RPC's code for a failure inside the server: <https://www.jsonrpc.org/specification#error_object>.
const INTERNAL_ERROR: i32 = -32603;

impl CallError {
    /// Whether another try may end otherwise.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent(reason) => !matches!(
                reason,
                Reason::Refused(_)
                    | Reason::CredentialMissing
                    | Reason::CredentialElsewhere
                    | Reason::AnswerUnfit
                    | Reason::Incompatible
            ),
            Self::Answered(answered) => {
                matches!(answered.status, 408 | 429 | 500..=599) || answered.rpc == Some(INTERNAL_ERROR)
            }
            Self::Unknown(_) => true,
        }
    }

    /// Whether an error that the probe ended with ends the greeting: it cannot be connected to, does not take our credential, is somewhere
    /// else, wants to be left alone for a while, or speaks none of our revisions. All else may be an older server's way of not knowing
    /// the probe.
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

    /// Whether it is what a server says that does not know the request.
    pub(super) fn is_protocol_error(&self) -> bool {
        match self {
            Self::NotSent(reason) => matches!(reason, Reason::Nonsense | Reason::Incompatible),
            Self::Answered(answered) => {
                answered.rpc.is_some() || matches!(answered.status, 400 | 404..=406 | 415 | 422 | 501)
            }
            Self::Unknown(_) => false,
        }
    }

    /// Whether the tool may have done its work all the same. A gateway answers 502 or 504 for a server that may still be at it, and
    /// a server may break with 500 after the deed; 503 and 429 are said before.
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

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(answered) => answered.retry_after,
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// The HTTP status, where the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answered) => Some(answered.status),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// A word for it, to be kept and shown.
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
            Self::AnswerUnfit => "answer_unfit",
            Self::Unreachable | Self::Untrusted => "unreachable",
            Self::TimedOut => "timed_out",
            Self::ConnectionLost => "connection_lost",
            Self::SessionLost => "session_lost",
            Self::Incompatible => "incompatible_revision",
            Self::Nonsense => "not_mcp",
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
    fn what_the_operator_has_to_mend_is_not_tried_again() {
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
    fn an_error_after_the_deed_is_told_from_one_before() {
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
