//! Converts errors of Supabase to errors of our API.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::supabase,
    error::{Error, ErrorCode, FieldError, RateLimit},
    platform::parse::Timestamp,
};

impl From<supabase::Error> for Error {
    fn from(error: supabase::Error) -> Self {
        let answer = match &error {
            supabase::Error::Rpc { status, code, detail, .. } => {
                from_rpc_error(code_for_rpc_error(*status, code), detail.as_deref().unwrap_or_default())
            }
            supabase::Error::Failed(failed) => {
                let code = failed.cause.meaning().code.unwrap_or(ErrorCode::SupabaseBadAnswer);
                Self::new(code).retry_after(failed.retry_after)
            }
        };
        answer.cause(error)
    }
}

/// Returns the [`ErrorCode`] of an error that our SQL raised. An unknown code comes from a
/// constraint that the validation of requests should have covered. It is the caller's error if the
/// SQL raised it with 422, otherwise ours.
fn code_for_rpc_error(status: u16, code: &str) -> ErrorCode {
    let otherwise = if status == 422 { ErrorCode::InvalidRequest } else { ErrorCode::Internal };
    ErrorCode::parse(code).unwrap_or(otherwise)
}

/// Creates the API error, with what the detail of the SQL error means to the caller.
fn from_rpc_error(code: ErrorCode, detail: &str) -> Error {
    let error = Error::new(code);
    match code {
        ErrorCode::EventConflict | ErrorCode::TooManyThreads => {
            error.detail(format!("The event is {detail}."))
        }
        // Only the database rejects this body. It names its constraint, not the place in the body.
        ErrorCode::InvalidRequest => {
            let reason = if detail.is_empty() { "no reason given" } else { detail };
            Error::invalid(vec![FieldError::at("", format!("is not taken by the database: {reason}"))])
        }
        ErrorCode::AgentChanged => error.detail(format!("It is with {detail} now.")),
        ErrorCode::EscalationResolved => match recorded_decision(detail) {
            Some(decision) => error.extension("decision", decision),
            None => error,
        },
        ErrorCode::EscalationClaimed => match recorded_claim(detail) {
            Some(claim) => error.extension("claim", claim),
            None => error,
        },
        // Violations of the answer's schema are found earlier, and each has its pointer.
        ErrorCode::InvalidAnswer => {
            error.detail("With edit, the answer is the call's new inputs: an object.")
        }
        ErrorCode::TooManySessions => error.detail(format!("At most {detail} may be active at once.")),
        ErrorCode::StillRunning | ErrorCode::TooManyRuns | ErrorCode::OrgTooManyRuns => {
            error.retry_after(detail.parse().ok().map(Duration::from_secs))
        }
        ErrorCode::RateLimited
        | ErrorCode::OrgRateLimited
        | ErrorCode::TokensUsedUp
        | ErrorCode::OrgTokensUsedUp => {
            let limit = RateLimit::from_error_detail(detail);
            Error { limit, ..error.retry_after(limit.map(RateLimit::retry_after)) }
        }
        _ => error,
    }
}

/// Parses the recorded decision in the detail of `escalation_resolved`.
fn recorded_decision(detail: &str) -> Option<Value> {
    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct RecordedDecision {
        decision: String,
        decided_by: Uuid,
        decided_at: Timestamp,
    }
    let decision: RecordedDecision = serde_json::from_str(detail).ok()?;
    serde_json::to_value(decision).ok()
}

/// Parses the other person's claim in the detail of `escalation_claimed`.
fn recorded_claim(detail: &str) -> Option<Value> {
    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct RecordedClaim {
        claimed_by: Uuid,
        claimed_by_name: Option<String>,
        claimed_until: Timestamp,
    }
    let claim: RecordedClaim = serde_json::from_str(detail).ok()?;
    serde_json::to_value(claim).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_decision_time_has_the_api_format() {
        let detail = r#"{"decision": "reject", "decidedAt": "2026-11-22T10:00:00.123456+00:00", "decidedBy": "019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10"}"#;
        let decision = recorded_decision(detail).unwrap();
        assert_eq!(decision["decision"], "reject");
        assert_eq!(decision["decidedAt"], "2026-11-22T10:00:00.123456Z");
        assert_eq!(recorded_decision("not JSON"), None);
    }
}
