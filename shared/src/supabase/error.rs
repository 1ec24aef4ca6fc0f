//! What PostgREST answers when it does not answer with rows.
//! Source: <https://docs.postgrest.org/en/stable/references/errors.html>

use std::time::Duration;

use crate::upstream::{self, Answer, Failure};

/// Why Supabase did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// One of our RPC functions said no: `raise sqlstate 'PTnnn'` with our code as message.
    Refused {
        /// The HTTP status that it chose.
        status: u16,
        /// Our own stable code, such as `session_ended`.
        code: String,
        /// What it is about, such as an event's id. Written by our SQL, without secrets.
        detail: Option<String>,
    },
    /// The caller's token is no longer taken (it ran out between our check and PostgREST's).
    TokenRefused,
    /// Our own key, or the grants behind it, are not right.
    KeyRefused {
        /// PostgREST's or PostgreSQL's code.
        code: String,
    },
    /// Supabase could not be reached, or said that it is overloaded.
    Unavailable {
        /// How long to wait, if it said so.
        retry_after: Option<Duration>,
        /// Why no answer came, where none did.
        failure: Option<Failure>,
    },
    /// It did not answer in time; a write may have been done (all of them may be repeated).
    TimedOut,
    /// Anything else: a fault of ours, or of the deployment.
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// PostgREST's or PostgreSQL's code, where there is one.
        code: String,
    },
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Body {
    code: Option<String>,
    message: Option<String>,
    details: Option<String>,
}

impl Error {
    /// Whether one of our functions said no, whatever its code.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether one of our functions said no with this code.
    pub fn is_refusal(&self, with: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == with)
    }

    /// The error in an answer that is no success. `as_user` says whose token went with the request.
    pub(super) fn from_answer(answer: &Answer, as_user: bool) -> Self {
        let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = plain(body.code, 8);
        match answer.status.as_u16() {
            _ if code.starts_with("PT") => {
                let status = answer.status.as_u16();
                Self::Refused { status, code: plain(body.message, 40), detail: body.details }
            }
            // 42501 is PostgreSQL's "insufficient privilege": a migration is missing, or the key is of the wrong kind.
            // PostgREST's codes about a token. The gateway, which checks our key, has none.
            401 if as_user && code.starts_with("PGRST30") => Self::TokenRefused,
            401 | 403 => Self::KeyRefused { code },
            // PGRST003: no connection in the pool became free. 57014: the statement timeout.
            504 => Self::TimedOut,
            429 | 502 | 503 => {
                Self::Unavailable { retry_after: upstream::retry_after(&answer.headers), failure: None }
            }
            status => Self::Unexpected { status, code },
        }
    }
}

/// A code such as `23505`, `PGRST116` or our own `session_ended`. What does not look like one may quote the request, with its
/// key, and codes are logged.
fn plain(code: Option<String>, longest: usize) -> String {
    let is_plain =
        |code: &String| code.len() <= longest && code.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    code.filter(is_plain).unwrap_or_default()
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut => Self::TimedOut,
            Failure::Unreachable(_) | Failure::Broken(_) => {
                Self::Unavailable { retry_after: None, failure: Some(failure) }
            }
            Failure::TooLarge => Self::Unexpected { status: 200, code: "answer too large".to_owned() },
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { code, .. } => write!(f, "Supabase: our function refused with {code}"),
            Self::TokenRefused => write!(f, "Supabase refused the user's token"),
            Self::KeyRefused { code } => {
                write!(
                    f,
                    "Supabase refused our key or its role lacks a grant ({code}): see the deployment page"
                )
            }
            Self::Unavailable { .. } => write!(f, "Supabase is unavailable"),
            Self::TimedOut => write!(f, "Supabase did not answer in time"),
            Self::Unexpected { status, code } => write!(f, "Supabase answered {status} ({code})"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable { failure, .. } => failure.as_ref().map(|failure| failure as _),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &'static str, as_user: bool) -> Error {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: reqwest::header::HeaderMap::new(), body: body.into() };
        Error::from_answer(&answer, as_user)
    }

    #[test]
    fn our_functions_refusals_are_told_from_postgrests_errors() {
        let refused = error(409, r#"{"code":"PT409","message":"session_ended"}"#, false);
        assert!(matches!(refused, Error::Refused { code, .. } if code == "session_ended"));
        assert!(matches!(error(409, r#"{"code":"23505"}"#, false), Error::Unexpected { status: 409, .. }));
    }

    #[test]
    fn what_is_no_code_is_not_kept() {
        let refused = error(500, r#"{"code":"no such key: sb_secret_x"}"#, false);
        assert!(matches!(refused, Error::Unexpected { status: 500, code } if code.is_empty()));
        let refused = error(409, r#"{"code":"PT409","message":"Bearer sb_secret_x"}"#, false);
        assert!(matches!(refused, Error::Refused { code, .. } if code.is_empty()));
    }

    #[test]
    fn a_missing_grant_is_no_fault_of_the_user() {
        assert!(matches!(error(401, r#"{"code":"PGRST303"}"#, true), Error::TokenRefused));
        assert!(matches!(error(403, r#"{"code":"42501"}"#, true), Error::KeyRefused { .. }));
        assert!(matches!(error(401, r#"{"message":"Invalid API key"}"#, true), Error::KeyRefused { .. }));
    }
}
