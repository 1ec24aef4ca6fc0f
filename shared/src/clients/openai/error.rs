//! Errors of the ChatKit API, classified by what an operator has to fix.

use std::time::Duration;

pub use crate::platform::http_client::classification::openai::OpenAiCause;
use crate::platform::http_client::{HttpResponse, TransportError, classification::ClassifiedRejection};

/// An error response of OpenAI, or a request without a response. Holds OpenAI's
/// request id, never the body.
#[derive(Debug)]
pub struct Error {
    pub cause: OpenAiCause,
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
    pub(super) fn from_rejection(
        rejection: ClassifiedRejection<OpenAiCause>,
        request_id: Option<String>,
    ) -> Self {
        let ClassifiedRejection { cause, status, retry_after, .. } = rejection;
        Self { cause, request_id, retry_after, status: Some(status), failure: None }
    }

    /// Creates the error of a successful response that cannot be parsed.
    pub(super) fn invalid_response(answer: &HttpResponse) -> Self {
        Self { request_id: answer.request_id(), ..Self::no_response(OpenAiCause::BadAnswer, None) }
    }

    /// Creates the error of a request that cannot be built from its arguments.
    pub(super) fn invalid_request() -> Self {
        Self::no_response(OpenAiCause::AgentRefused, None)
    }

    /// Creates an error that does not come from a response.
    pub(super) fn no_response(cause: OpenAiCause, failure: Option<TransportError>) -> Self {
        Self { cause, request_id: None, retry_after: None, status: None, failure }
    }

    /// Returns the error of creating a session, where [`OpenAiCause::NotFound`] means that
    /// the workflow does not exist.
    pub(super) fn for_create_session(mut self) -> Self {
        if self.cause == OpenAiCause::NotFound {
            self.cause = OpenAiCause::WorkflowNotFound;
        }
        self
    }
}

impl From<TransportError> for Error {
    fn from(failure: TransportError) -> Self {
        let cause = OpenAiCause::from_transport_error(&failure);
        Self::no_response(cause, Some(failure))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatKit: {:?}", self.cause)?;
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
        let code = error.cause.meaning().code.unwrap_or(crate::error::ErrorCode::ChatkitBadAnswer);
        Self::new(code).retry_after(error.retry_after).cause(error)
    }
}
