//! Errors of the model's server, classified by what resolves them.

use std::time::Duration;

pub use crate::platform::http_client::classification::model::ModelCause;
use crate::platform::http_client::{TransportError, classification::ClassifiedRejection};

/// A request without a stream, or a stream without an end. Holds the server's request id, never a
/// text of the response.
#[derive(Debug)]
pub struct ModelError {
    pub cause: ModelCause,
    /// The server's id of the request (`x-request-id`), for its support.
    pub request_id: Option<String>,
    /// Delay that the server requests before a retry.
    pub retry_after: Option<Duration>,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// Transport error, if there was one.
    pub failure: Option<TransportError>,
}

impl ModelError {
    /// Creates the error of a response that is not a success.
    pub(super) fn from_rejection(
        rejection: ClassifiedRejection<ModelCause>,
        request_id: Option<String>,
    ) -> Self {
        let ClassifiedRejection { cause, status, retry_after, .. } = rejection;
        Self { cause, request_id, retry_after, status: Some(status), failure: None }
    }

    /// Creates the error of a stream.
    pub(crate) fn in_stream(cause: ModelCause, request_id: Option<String>) -> Self {
        Self { cause, request_id, retry_after: None, status: None, failure: None }
    }
}

impl From<TransportError> for ModelError {
    fn from(failure: TransportError) -> Self {
        let cause = ModelCause::from_transport_error(&failure);
        Self { failure: Some(failure), ..Self::in_stream(cause, None) }
    }
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model: {:?}", self.cause)?;
        self.status.map_or(Ok(()), |status| write!(f, ", answered {status}"))?;
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (upstream request {id})"))
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure.as_ref().map(|failure| failure as _)
    }
}

impl From<ModelError> for crate::error::Error {
    fn from(error: ModelError) -> Self {
        let code = error.cause.meaning().code.unwrap_or(crate::error::ErrorCode::ModelBadAnswer);
        Self::new(code).retry_after(error.retry_after).cause(error)
    }
}
