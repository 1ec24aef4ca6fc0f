//! Errors of the ChatKit API, classified by what an operator has to fix.

use std::time::Duration;

pub use crate::platform::http_client::classification::openai::Cause as Kind;
use crate::platform::http_client::{HttpResponse, TransportError, classification::Rejection};

/// An error response of OpenAI, or a request without a response. Holds OpenAI's
/// request id, never the body.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// OpenAI's id of the request (`x-request-id`), for its support.
    pub request_id: Option<String>,
    /// Delay that OpenAI requests before a retry.
    pub retry_after: Option<Duration>,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// Transport error, if there was no response.
    pub failure: Option<TransportError>,
}

impl Error {
    /// Creates the error of a response that is not a success.
    pub(super) fn from_rejection(rejection: Rejection<Kind>, request_id: Option<String>) -> Self {
        let Rejection { cause: kind, status, retry_after, .. } = rejection;
        Self { kind, request_id, retry_after, status: Some(status), failure: None }
    }

    /// Creates the error of a successful response that cannot be parsed.
    pub(super) fn invalid_response(answer: &HttpResponse) -> Self {
        Self { request_id: answer.request_id(), ..Self::no_response(Kind::BadAnswer, None) }
    }

    /// Creates the error of a request that cannot be built from its arguments.
    pub(super) fn invalid_request() -> Self {
        Self::no_response(Kind::AgentRefused, None)
    }

    /// Creates an error that does not come from a response.
    pub(super) fn no_response(kind: Kind, failure: Option<TransportError>) -> Self {
        Self { kind, request_id: None, retry_after: None, status: None, failure }
    }

    /// Returns the error of creating a session, where [`Kind::NotFound`] means that
    /// the workflow does not exist.
    pub(super) fn for_create_session(mut self) -> Self {
        if self.kind == Kind::NotFound {
            self.kind = Kind::WorkflowNotFound;
        }
        self
    }
}

impl From<TransportError> for Error {
    fn from(failure: TransportError) -> Self {
        let kind = Kind::from_transport_error(&failure);
        Self::no_response(kind, Some(failure))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatKit: {:?}", self.kind)?;
        self.status.map_or(Ok(()), |status| write!(f, ", answered {status}"))?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (upstream request {id})"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure.as_ref().map(|failure| failure as _)
    }
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        let code = error.kind.meaning().code.unwrap_or(crate::error::ErrorCode::ChatkitBadAnswer);
        Self::new(code).retry_after(error.retry_after).cause(error)
    }
}
