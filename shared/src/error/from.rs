//! The one place that says what a failure of each room means to the caller.

use std::time::Duration;

use super::{Code, Error, FieldError};
use crate::{auth::Refusal, chatkit, escalations::Decided, limit::Limit, supabase};

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(match refusal {
            Refusal::NoToken => Code::MissingToken,
            Refusal::InvalidToken => Code::InvalidToken,
            Refusal::ExpiredToken => Code::ExpiredToken,
            Refusal::Anonymous => Code::AnonymousUser,
            Refusal::NoOrganisation => Code::NoOrganisation,
            Refusal::KeysUnavailable(code) => code,
        })
    }
}

impl From<supabase::Error> for Error {
    fn from(error: supabase::Error) -> Self {
        let answer = match &error {
            supabase::Error::Refused { status, code, detail } => {
                told(refusal(*status, code), detail.as_deref().unwrap_or_default())
            }
            supabase::Error::Failed(failed) => {
                let code = failed.cause.meaning().code.unwrap_or(Code::SupabaseBadAnswer);
                Self::new(code).retry_after(failed.retry_after)
            }
        };
        answer.cause(error)
    }
}

/// The SQL raises our codes. One that is not in the list is a constraint which the checks of the edge should have covered:
/// the caller's mistake where the SQL says so, otherwise ours.
fn refusal(status: u16, code: &str) -> Code {
    let otherwise = if status == 422 { Code::InvalidRequest } else { Code::Internal };
    Code::parse(code).unwrap_or(otherwise)
}

/// A refusal, with what the SQL's detail means to the caller.
fn told(code: Code, detail: &str) -> Error {
    let error = Error::new(code);
    match code {
        Code::EventConflict | Code::TooManyThreads => error.detail(format!("The event is {detail}.")),
        // Something in the body that only the database noticed: it names its constraint, and not where in the body it is.
        Code::InvalidRequest => {
            let reason = if detail.is_empty() { "no reason given" } else { detail };
            Error::invalid(vec![FieldError::at("", format!("is not taken by the database: {reason}"))])
        }
        Code::AgentChanged => error.detail(format!("It is with {detail} now.")),
        Code::EscalationResolved => Error { decided: Decided::of_refusal(detail).map(Box::new), ..error },
        // Of the schema's mistakes, which are found before, each has its place.
        Code::InvalidAnswer => error.detail("With edit, the answer is the call's new inputs: an object."),
        Code::TooManySessions => error.detail(format!("At most {detail} may be active at once.")),
        Code::StillRunning => error.retry_after(detail.parse().ok().map(Duration::from_secs)),
        Code::RateLimited => {
            let limit = Limit::of_refusal(detail);
            Error { limit, ..error.retry_after(limit.map(Limit::wait)) }
        }
        _ => error,
    }
}

impl From<chatkit::Error> for Error {
    fn from(error: chatkit::Error) -> Self {
        let code = error.kind.meaning().code.unwrap_or(Code::ChatkitBadAnswer);
        Self::new(code).retry_after(error.retry_after).cause(error)
    }
}
