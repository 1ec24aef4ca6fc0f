//! Maps the result of a tool call to the argument `p_outcome` of `finish_delivery`.

use serde::Serialize;

use crate::clients::mcp::{CallError, Completed, FailureReport, NeedsHuman, TaskUpdate, ToolResult};

/// The argument `p_outcome` of `finish_delivery`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RpcOutcome {
    Completed(Completed),
    Ask(NeedsHuman),
    Failed {
        error: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tasks: Vec<TaskUpdate>,
    },
    Retry {
        error: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u64>,
    },
    Unknown {
        error: &'static str,
    },
}

impl RpcOutcome {
    /// Maps the result of a call. A tool that may have been called is called again only if it is
    /// idempotent; otherwise a person decides.
    pub fn new(result: Result<ToolResult, CallError>, idempotent: bool) -> Self {
        match result {
            Ok(ToolResult::Completed(completed)) => Self::Completed(completed),
            Ok(ToolResult::Failed(FailureReport { message, tasks, .. })) => {
                Self::Failed { error: "agent_failed", message, tasks }
            }
            Ok(ToolResult::NeedsHuman(request)) => Self::Ask(request),
            Err(error) if error.outcome_is_unknown() && !idempotent => Self::Unknown { error: error.code() },
            Err(error) if error.is_retryable() => Self::Retry {
                error: error.code(),
                retry_after_seconds: error.retry_after().map(|wait| wait.as_secs()),
            },
            Err(error) => Self::failed(error.code()),
        }
    }

    /// Maps the result of a call that a turn of the chat made. The turn has repeated it as often as
    /// it may, and a model that learns of a failure may request another call. So nothing is called
    /// again by itself: a person decides about a call that may have been executed.
    pub fn in_turn(result: Result<ToolResult, CallError>) -> Self {
        match result {
            Err(error) if error.outcome_is_unknown() => Self::Unknown { error: error.code() },
            Err(error) => Self::failed(error.code()),
            Ok(result) => Self::new(Ok(result), false),
        }
    }

    /// Creates a failure that is not retried.
    pub fn failed(error: &'static str) -> Self {
        Self::Failed { error, message: None, tasks: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::mcp::Reason;

    #[test]
    fn lost_call_is_retried_only_if_the_tool_is_idempotent() {
        let lost = || Err(CallError::Unknown(Reason::ConnectionLost));
        assert!(matches!(RpcOutcome::new(lost(), true), RpcOutcome::Retry { .. }));
        assert!(matches!(RpcOutcome::new(lost(), false), RpcOutcome::Unknown { .. }));
        let not_sent = || Err(CallError::NotSent(Reason::Unreachable));
        for idempotent in [true, false] {
            assert!(matches!(RpcOutcome::new(not_sent(), idempotent), RpcOutcome::Retry { .. }));
        }
        let misconfigured = CallError::NotSent(Reason::CredentialMissing);
        assert_eq!(RpcOutcome::new(Err(misconfigured), true), RpcOutcome::failed("credential_missing"));
    }

    #[test]
    fn lost_call_of_a_turn_is_unknown_and_is_not_retried() {
        let lost = CallError::Unknown(Reason::ConnectionLost);
        assert!(matches!(RpcOutcome::in_turn(Err(lost)), RpcOutcome::Unknown { .. }));
        let not_sent = CallError::NotSent(Reason::Unreachable);
        assert!(matches!(RpcOutcome::in_turn(Err(not_sent)), RpcOutcome::Failed { .. }));
        let completed = ToolResult::Completed(Completed::default());
        assert!(matches!(RpcOutcome::in_turn(Ok(completed)), RpcOutcome::Completed(_)));
    }

    #[test]
    fn failed_outcome_serialises_as_the_rpc_argument() {
        let outcome = RpcOutcome::failed("invalid_result");
        let json = serde_json::json!({ "kind": "failed", "error": "invalid_result" });
        assert_eq!(serde_json::to_value(outcome).unwrap(), json);
    }
}
