//! The one place that says what a failure of each room means to the caller.

use super::{Code, Error};
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
        let (code, detail, wait) = match &error {
            // Our SQL raises the same codes; one that is unknown here is a migration that is ahead of the function.
            supabase::Error::Refused { code, detail } => {
                (Code::parse(code).unwrap_or(Code::Internal), detail.clone(), None)
            }
            supabase::Error::TokenRefused => (Code::InvalidToken, None, None),
            supabase::Error::KeyRefused { .. } => (Code::SupabaseKeyRefused, None, None),
            supabase::Error::Unavailable { retry_after } => (Code::SupabaseUnavailable, None, *retry_after),
            supabase::Error::TimedOut => (Code::SupabaseTimeout, None, None),
            supabase::Error::Unexpected { .. } => (Code::SupabaseBadAnswer, None, None),
        };
        let answer = Self::new(code).retry_after(wait).cause(error);
        match detail.filter(|detail| !detail.is_empty()) {
            Some(detail) => answer.detail(detail),
            None => answer,
        }
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
