//! Errors of AWS's APIs.

use crate::platform::http_client::{
    TransportError,
    classification::aws::{AwsRejection, CREDENTIAL_CODES},
};

/// Reason why AWS did not do what was asked. `Display` shows AWS's code, and no part of the
/// request.
#[derive(Debug)]
pub enum AwsError {
    /// The request cannot be built or signed.
    InvalidRequest(&'static str),
    /// AWS answered, and the response is not a success.
    Rejected(AwsRejection),
    /// There is no response.
    NoResponse(TransportError),
}

impl AwsError {
    /// Returns AWS's code, for example `AccessDeniedException`. `None` if there is no response, or
    /// if it has no code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejection) => Some(rejection.code.as_str()).filter(|code| !code.is_empty()),
            Self::InvalidRequest(_) | Self::NoResponse(_) => None,
        }
    }

    /// Returns whether AWS does not accept the credentials, for any action.
    pub fn rejects_credentials(&self) -> bool {
        self.code().is_some_and(|code| CREDENTIAL_CODES.contains(&code))
    }

    /// Returns the HTTP status. `None` if there is no response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Rejected(rejection) => Some(rejection.status),
            Self::InvalidRequest(_) | Self::NoResponse(_) => None,
        }
    }
}

impl std::fmt::Display for AwsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InvalidRequest(reason) => write!(f, "AWS: the request is invalid: {reason}"),
            Self::NoResponse(failure) => write!(f, "AWS {failure}"),
            Self::Rejected(AwsRejection { status, code, request_id }) => {
                write!(f, "AWS answered {status}")?;
                if !code.is_empty() {
                    write!(f, " {code}")?;
                }
                request_id.as_ref().map_or(Ok(()), |id| write!(f, " (upstream request {id})"))
            }
        }
    }
}

impl std::error::Error for AwsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoResponse(failure) => Some(failure),
            Self::InvalidRequest(_) | Self::Rejected(_) => None,
        }
    }
}

impl From<TransportError> for AwsError {
    fn from(failure: TransportError) -> Self {
        Self::NoResponse(failure)
    }
}
