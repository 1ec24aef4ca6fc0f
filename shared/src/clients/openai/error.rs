//! Why ChatKit did not do what it was asked, told apart by what an operator has to mend.

use std::time::Duration;

pub use crate::platform::http_client::classification::openai::Cause as Kind;
use crate::platform::http_client::{HttpResponse, TransportError, classification::Rejection};

/// A refusal or a failure of the provider. Carries the provider's request id, never its body.
#[derive(Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: Kind,
    /// The provider's id of the call (`x-request-id`), for its support.
    pub request_id: Option<String>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// The answer's status, where one came.
    pub status: Option<u16>,
    /// Why none came, where none did.
    pub failure: Option<TransportError>,
}

impl Error {
    /// The error in an answer that is no success.
    pub(super) fn from_rejection(rejection: Rejection<Kind>, request_id: Option<String>) -> Self {
        let Rejection { cause: kind, status, retry_after, .. } = rejection;
        Self { kind, request_id, retry_after, status: Some(status), failure: None }
    }

    /// An answer of success that cannot be read.
    pub(super) fn invalid_response(answer: &HttpResponse) -> Self {
        Self { request_id: answer.request_id(), ..Self::no_response(Kind::BadAnswer, None) }
    }

    /// A request that cannot even be built from what was given.
    pub(super) fn invalid_request() -> Self {
        Self::no_response(Kind::AgentRefused, None)
    }

    /// An error that no answer says.
    pub(super) fn no_response(kind: Kind, failure: Option<TransportError>) -> Self {
        Self { kind, request_id: None, retry_after: None, status: None, failure }
    }

    /// The same error, where not finding means that the workflow is not there.
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
