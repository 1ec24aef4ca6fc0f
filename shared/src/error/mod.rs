//! The error type: the caller receives a stable code and advice, and the operator finds
//! the cause in the log.

mod code;
mod pointer;
mod rate_limit;

use std::{borrow::Cow, time::Duration};

use serde_json::{Map, Value};

pub use code::ErrorCode;
pub use pointer::pointer;
pub use rate_limit::RateLimit;

/// Error of a request, sent to the caller as problem details (RFC 9457).
#[derive(Debug)]
pub struct Error {
    /// Determines the status, the title and the advice of the response.
    pub code: ErrorCode,
    /// Describes this occurrence, where the code is not enough. Never holds a secret.
    pub detail: Option<Cow<'static, str>>,
    /// Errors in parts of the body or query.
    pub fields: Vec<FieldError>,
    /// The wait that another system requested.
    pub retry_after: Option<Duration>,
    /// State of the rate limit that rejected the request.
    pub limit: Option<RateLimit>,
    /// Extension members of the problem details (RFC 9457, section 3.2).
    pub extensions: Option<Box<Map<String, Value>>>,
    /// The cause, for the log only.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Error in one part of a body or query.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901), or the name of a query parameter.
    pub pointer: String,
    /// Describes what is wrong and what is expected.
    pub detail: String,
}

impl Error {
    /// Creates an error that its code describes completely.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            detail: None,
            fields: Vec::new(),
            retry_after: None,
            limit: None,
            extensions: None,
            cause: None,
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds an extension member to the problem details.
    #[must_use]
    pub fn extension(mut self, name: &str, value: Value) -> Self {
        self.extensions.get_or_insert_default().insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Creates an [`ErrorCode::InvalidRequest`] error: well-formed input that
    /// is wrong in these places.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        Self { fields, ..Self::new(ErrorCode::InvalidRequest) }
    }
}

impl FieldError {
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Creates an error from a parser's message. Values that the message quotes are removed, since
    /// a secret may have been sent in the wrong field.
    pub fn parsing(pointer: impl Into<String>, error: &impl std::fmt::Display) -> Self {
        let message = error.to_string();
        let unquoted =
            [("string \"", "\", expected "), ("variant `", "`, expected ")].iter().find_map(|(from, to)| {
                let (kind, (before, rest)) = (from.split(' ').next()?, message.split_once(from)?);
                Some(format!("{before}{kind}, expected {}", rest.rsplit_once(to)?.1))
            });
        Self::at(pointer, unquoted.unwrap_or(message))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code.as_str())?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parser_message_with_a_value_omits_only_the_value() {
        let detail = |message: &str| FieldError::parsing("/a", &message).detail;
        assert_eq!(
            detail("invalid type: string \"a\", expected b\", expected a map"),
            "invalid type: string, expected a map"
        );
        assert_eq!(
            detail("unknown variant `x`, expected `active` or `ended`"),
            "unknown variant, expected `active` or `ended`"
        );
        assert_eq!(detail("invalid type: null, expected a string"), "invalid type: null, expected a string");
        assert_eq!(detail("missing field `id`"), "missing field `id`");
    }
}
