//! Why ChatKit did not do what it was asked, told apart by what an operator has to mend.

use std::time::Duration;

use crate::upstream::{self, Answer, Failure};

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
    pub failure: Option<Failure>,
}

/// The likely cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 401: the API key is wrong or revoked.
    KeyRefused,
    /// 403: the key may not do this, or not in this project.
    ProjectRefused,
    /// 404 on opening: no such workflow, or the key belongs to another project. The provider does not tell which.
    WorkflowNotFound,
    /// 400 or 422: the provider does not take what the registry says of the agent.
    AgentRefused,
    /// 429: our quota is used up.
    RateLimited,
    /// 5xx, or no connection: it did nothing, as far as is known.
    Unavailable,
    /// No answer in time: it may have done what it was asked.
    TimedOut,
    /// An answer that makes no sense.
    BadAnswer,
    /// 404 on what should be there.
    NotFound,
}

impl Error {
    /// The error in an answer that is no success.
    pub(super) fn from_answer(answer: &Answer) -> Self {
        let kind = match answer.status.as_u16() {
            401 => Kind::KeyRefused,
            403 => Kind::ProjectRefused,
            404 => Kind::NotFound,
            400 | 422 => Kind::AgentRefused,
            429 => Kind::RateLimited,
            408 | 409 | 500..=599 => Kind::Unavailable,
            _ => Kind::BadAnswer,
        };
        let retry_after = upstream::retry_after(&answer.headers);
        Self { retry_after, ..Self::answered(kind, answer) }
    }

    /// An answer of success that cannot be read.
    pub(super) fn bad_answer(answer: &Answer) -> Self {
        Self::answered(Kind::BadAnswer, answer)
    }

    /// A request that cannot even be built from what was given.
    pub(super) fn unsendable() -> Self {
        Self::unanswered(Kind::AgentRefused, None)
    }

    fn answered(kind: Kind, answer: &Answer) -> Self {
        let status = Some(answer.status.as_u16());
        Self { kind, request_id: request_id(answer), retry_after: None, status, failure: None }
    }

    /// An error that no answer says.
    pub(super) fn unanswered(kind: Kind, failure: Option<Failure>) -> Self {
        Self { kind, request_id: None, retry_after: None, status: None, failure }
    }

    /// The same error, where not finding means that the workflow is not there.
    pub(super) fn on_opening(mut self) -> Self {
        if self.kind == Kind::NotFound {
            self.kind = Kind::WorkflowNotFound;
        }
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure::TimedOut => Kind::TimedOut,
            Failure::Unreachable(_) | Failure::Broken(_) => Kind::Unavailable,
            Failure::TooLarge => Kind::BadAnswer,
        };
        Self::unanswered(kind, Some(failure))
    }
}

fn request_id(answer: &Answer) -> Option<String> {
    let id = answer.headers.get("x-request-id")?.to_str().ok()?;
    Some(id.chars().take(100).collect())
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
