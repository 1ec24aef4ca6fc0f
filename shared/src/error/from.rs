//! The one place that says what a failure of each room means to the caller.

use super::{Code, Error, FieldError};
use crate::{auth::Refusal, chatkit, supabase};

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(match refusal {
            Refusal::NoToken => Code::MissingToken,
            Refusal::InvalidToken => Code::InvalidToken,
            Refusal::ExpiredToken => Code::ExpiredToken,
            Refusal::Anonymous => Code::AnonymousUser,
            Refusal::NoOrganisation => Code::NoOrganisation,
            Refusal::KeysUnavailable => Code::SupabaseUnavailable,
        })
    }
}

impl From<supabase::Error> for Error {
    fn from(error: supabase::Error) -> Self {
        let mut fields = Vec::new();
        let (code, detail, wait) = match &error {
            supabase::Error::Refused { status, code, detail } => {
                let code = refusal(*status, code);
                if code == Code::InvalidRequest {
                    fields.push(unfit(detail.as_deref()));
                }
                (code, detail.as_deref().and_then(|detail| worded(code, detail)), None)
            }
            supabase::Error::TokenRefused => (Code::InvalidToken, None, None),
            supabase::Error::KeyRefused { .. } => (Code::SupabaseKeyRefused, None, None),
            supabase::Error::Unavailable { retry_after } => (Code::SupabaseUnavailable, None, *retry_after),
            supabase::Error::TimedOut => (Code::SupabaseTimeout, None, None),
            supabase::Error::Unexpected { .. } => (Code::SupabaseBadAnswer, None, None),
        };
        Self { detail: detail.map(Into::into), fields, ..Self::new(code).retry_after(wait).cause(error) }
    }
}

/// The SQL raises our codes. One that is not in the list is a constraint which the checks of the edge should have covered:
/// the caller's mistake where the SQL says so, otherwise ours.
fn refusal(status: u16, code: &str) -> Code {
    let otherwise = if status == 422 { Code::InvalidRequest } else { Code::Internal };
    Code::parse(code).unwrap_or(otherwise)
}

/// Something in the body that only the database noticed: it names its constraint, and not where in the body it is.
fn unfit(constraint: Option<&str>) -> FieldError {
    FieldError::at("", format!("is not taken by the database: {}", constraint.unwrap_or("no reason given")))
}

/// What the SQL's detail means to the caller.
fn worded(code: Code, detail: &str) -> Option<String> {
    match code {
        Code::EventConflict => Some(format!("The event is {detail}.")),
        Code::AgentChanged => Some(format!("It is with {detail} now.")),
        _ => None,
    }
}

impl From<chatkit::Error> for Error {
    fn from(error: chatkit::Error) -> Self {
        use chatkit::Kind;
        let code = match error.kind {
            Kind::KeyRefused => Code::ChatkitKeyRefused,
            Kind::ProjectRefused => Code::ChatkitProjectRefused,
            Kind::WorkflowNotFound => Code::ChatkitWorkflowNotFound,
            Kind::AgentRefused => Code::ChatkitAgentRefused,
            Kind::RateLimited => Code::ChatkitRateLimited,
            Kind::Unavailable => Code::ChatkitUnavailable,
            Kind::TimedOut => Code::ChatkitTimeout,
            Kind::BadAnswer | Kind::NotFound => Code::ChatkitBadAnswer,
        };
        Self::new(code).retry_after(error.retry_after).cause(error)
    }
}
