//! Classification of responses from OpenAI and the network in front of it.
//! Source: <https://platform.openai.com/docs/guides/error-codes>

use super::{CauseTable, Done, Meaning, Responsible, Row, Speaker};
use crate::{
    error::ErrorCode,
    platform::http_client::{RetryDecision, TransportError},
};

/// OpenAiCause of a failed request to OpenAI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAiCause {
    /// The API key is wrong or revoked.
    KeyRejected,
    /// The key may not perform this request, or not in this project.
    ProjectRefused,
    /// A firewall, or a rule on addresses or regions, rejected the request.
    Blocked,
    /// The workflow does not exist, or the key belongs to another project.
    /// OpenAI does not report which.
    WorkflowNotFound,
    /// The session, thread or user does not exist.
    NotFound,
    /// OpenAI does not accept the agent's settings in the registry.
    AgentRefused,
    RateLimited,
    /// The project's credit or budget is used up.
    QuotaExhausted,
    /// OpenAI reported an outage or could not be reached. The request was not performed.
    Unavailable,
    /// A network in between timed out, or the connection broke.
    Interrupted,
    TimedOut,
    /// The response is invalid or unexpected.
    BadAnswer,
}

use OpenAiCause::*;
use Speaker::{Gateway, OpenAi, Other};

/// The first row that matches determines the cause.
pub const TABLE: CauseTable<OpenAiCause> = CauseTable { rows: ROWS, rest: BadAnswer };

const ROWS: &[Row<OpenAiCause>] = &[
    Row::new(OpenAi, Blocked).code(&["unsupported_country_region_territory", "ip_not_authorized"]),
    Row::new(OpenAi, QuotaExhausted).code(&[
        "insufficient_quota",
        "billing_not_active",
        "billing_hard_limit_reached",
    ]),
    Row::new(OpenAi, KeyRejected).status(&[401..=401]),
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

impl OpenAiCause {
    /// Returns the consequences of a cause. A request that creates something is repeated only
    /// if it was not performed.
    pub const fn meaning(self) -> Meaning {
        let (is_transient, done, responsible, code) = match self {
            KeyRejected => (false, Done::No, Responsible::Operator, ErrorCode::ChatkitKeyRejected),
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
        Meaning { is_transient, done, responsible, code: Some(code) }
    }

    /// Returns whether to retry a request that is safe to repeat, and whether the key was rejected.
    pub const fn retry_decision(self) -> RetryDecision {
        RetryDecision {
            retry: self.meaning().is_transient,
            unauthorized: matches!(self, KeyRejected | ProjectRefused),
        }
    }

    /// Returns the cause for a call without a response.
    pub(crate) const fn from_transport_error(failure: &TransportError) -> Self {
        match failure {
            TransportError::Unreachable(_) => Unavailable,
            TransportError::Broken(_) => Interrupted,
            TransportError::TimedOut => TimedOut,
            TransportError::TooLarge => BadAnswer,
        }
    }
}
