//! One error for two readers: the caller gets a stable code and what to do; the operator gets the cause in the log.

mod code;
mod pointer;
mod rate_limit;

use std::{borrow::Cow, time::Duration};

use serde_json::{Map, Value};

pub use code::ErrorCode;
pub use pointer::pointer;
pub use rate_limit::RateLimit;

/// A request that is not answered as it hoped.
#[derive(Debug)]
pub struct Error {
    /// The stable code: it decides status, title and what the caller should do.
    pub code: ErrorCode,
    /// More about this occurrence, where the code does not say it all. Never holds a secret.
    pub detail: Option<Cow<'static, str>>,
    /// What is wrong with which part of the body.
    pub fields: Vec<FieldError>,
    /// How long to wait, where another system said so.
    pub retry_after: Option<Duration>,
    /// What a throttle allows, where one refused.
    pub limit: Option<RateLimit>,
    /// Extension members of the problem details (RFC 9457, section 3.2).
    pub extensions: Option<Box<Map<String, Value>>>,
    /// The cause, for the log only.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A mistake in one part of a body or query.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901), or the name of a query parameter.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Error {
    /// An error that its code describes completely.
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

    /// Says more about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Keeps the cause for the log.
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

    /// Passes on how long to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Well-formed input that is wrong in these places.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        Self { fields, ..Self::new(ErrorCode::InvalidRequest) }
    }
}

impl FieldError {
    /// A mistake at this JSON pointer.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// A mistake that a parser found there. What it quotes is left out: it may be a secret in the wrong place.
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
    fn a_parsers_words_lose_the_value_and_nothing_else() {
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
