//! OpenAI, and the network before it.
//! Source: <https://platform.openai.com/docs/guides/error-codes>

use super::{Done, Meaning, Responsible, Row, Speaker, Table};
use crate::{
    error::ErrorCode,
    platform::http_client::{RetryDecision, TransportError},
};

/// Why OpenAI did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The API key is wrong or revoked.
    KeyRefused,
    /// The key may not do this, or not in this project.
    ProjectRefused,
    /// A firewall, or a rule about addresses or regions, refused the request.
    Blocked,
    /// No such workflow, or the key belongs to another project. OpenAI does not tell which.
    WorkflowNotFound,
    /// There is no such session, thread or user.
    NotFound,
    /// OpenAI does not take what the registry says of the agent.
    AgentRefused,
    /// Too many requests at the moment.
    RateLimited,
    /// The project's credit or budget is used up.
    QuotaExhausted,
    /// It said that it is out of order, or could not be reached: it did nothing.
    Unavailable,
    /// The network gave up waiting for it, or the connection broke.
    Interrupted,
    /// No answer came in time.
    TimedOut,
    /// An answer that makes no sense.
    BadAnswer,
}

use Cause::*;
use Speaker::{Gateway, OpenAi, Other};

/// From the top; the first row that fits decides.
pub const TABLE: Table<Cause> = Table { rows: ROWS, rest: BadAnswer };

const ROWS: &[Row<Cause>] = &[
    Row::new(OpenAi, Blocked).code(&["unsupported_country_region_territory", "ip_not_authorized"]),
    Row::new(OpenAi, QuotaExhausted).code(&[
        "insufficient_quota",
        "billing_not_active",
        "billing_hard_limit_reached",
    ]),
    Row::new(OpenAi, KeyRefused).status(&[401..=401]),
    Row::new(OpenAi, ProjectRefused).status(&[403..=403]),
    Row::new(OpenAi, NotFound).status(&[404..=404]),
    Row::new(OpenAi, AgentRefused).status(&[400..=400, 422..=422]),
    Row::new(OpenAi, RateLimited).status(&[429..=429]),
    Row::new(OpenAi, Unavailable).status(&[408..=409, 500..=599]),
    Row::new(Gateway, Blocked).status(&[401..=401, 403..=403, 451..=451]),
    Row::new(Gateway, RateLimited).status(&[429..=429]),
    Row::new(Gateway, Unavailable).status(&[503..=503]),
    Row::new(Gateway, Interrupted).status(&[408..=408, 500..=599]),
    Row::new(Other, Blocked).status(&[401..=401, 403..=403, 406..=406, 451..=451]),
    Row::new(Other, RateLimited).status(&[429..=429]),
    Row::new(Other, Unavailable).status(&[503..=503, 521..=523, 525..=526, 530..=530]),
    Row::new(Other, Interrupted).status(&[408..=408, 500..=599]),
];

impl Cause {
    /// What follows from it. What opens something is repeated only where it was not done.
    pub const fn meaning(self) -> Meaning {
        let (passes, done, acts, code) = match self {
            KeyRefused => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitKeyRefused),
            ProjectRefused => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitProjectRefused),
            Blocked => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitRequestBlocked),
            WorkflowNotFound => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitWorkflowNotFound),
            NotFound => (false, Done::No, Responsible::System, ErrorCode::ChatkitBadAnswer),
            AgentRefused => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitAgentRefused),
            RateLimited => (true, Done::No, Responsible::System, ErrorCode::ChatkitRateLimited),
            QuotaExhausted => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitQuotaExhausted),
            Unavailable => (true, Done::No, Responsible::System, ErrorCode::ChatkitUnavailable),
            Interrupted => (true, Done::Unknown, Responsible::System, ErrorCode::ChatkitUnavailable),
            TimedOut => (true, Done::Unknown, Responsible::System, ErrorCode::ChatkitTimeout),
            BadAnswer => (false, Done::Unknown, Responsible::Operator, ErrorCode::ChatkitBadAnswer),
        };
        Meaning { passes, done, acts, code: Some(code) }
    }

    /// What it asks of whoever sent the request, where a repeat is safe.
    pub const fn retry_decision(self) -> RetryDecision {
        RetryDecision {
            retry: self.meaning().passes,
            unauthorized: matches!(self, KeyRefused | ProjectRefused),
        }
    }

    /// What it means that no answer came.
    pub(crate) const fn from_transport_error(failure: &TransportError) -> Self {
        match failure {
            TransportError::Unreachable(_) => Unavailable,
            TransportError::Broken(_) => Interrupted,
            TransportError::TimedOut => TimedOut,
            TransportError::TooLarge => BadAnswer,
        }
    }
}
