//! Checks that OpenAI accepts our key and project, and creates sessions with each agent's workflow.
//!
//! A session that is created here lives for a second, belongs to no user, and is cancelled at once.
//! Its client secret is never used.

use futures_util::{StreamExt, stream};

use super::{
    MIN_TIME_LEFT,
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{AgentWorkflow, DeploymentState, for_agents},
};
use crate::{
    clients::openai::{ChatKit, ChatKitSessionRequest, Error, OpenAiCause},
    platform::http_client::Deadline,
};

/// User that sessions are created for. Our own users are UUIDs.
const USER: &str = "chatkit-sessions-doctor";

/// A requirement that cannot be checked from here, and the most common reason for
/// a chat that stays blank.
const ALLOW_LIST: &str =
    "not seen from here: the domain of every page with the chat has to be on OpenAI's domain allow-list";

/// Number of sessions that are created concurrently.
const AT_ONCE: usize = 4;

/// Checks that OpenAI accepts the key and the project, with a request that is free of charge.
pub(super) async fn key(chatkit: &ChatKit, deadline: Deadline) -> CheckResult {
    match chatkit.threads(USER, deadline).await {
        Ok(_) => CheckResult::ok(Check::Chatkit).detail(ALLOW_LIST),
        // OpenAI applies a rate limit only to keys that it knows.
        Err(error) if error.cause == OpenAiCause::RateLimited => CheckResult::ok(Check::Chatkit)
            .detail("OpenAI asks to wait, which it does only where it takes the key"),
        Err(error) => {
            let code = match code(error.cause) {
                FaultCode::ChatkitKeyRejected if taken_alone(chatkit, deadline).await => {
                    FaultCode::ChatkitProjectRefused
                }
                code => code,
            };
            refused(CheckResult::fault(Check::Chatkit, code), &error)
        }
    }
}

/// Returns whether OpenAI accepts the key if no project is named. OpenAI returns the same error for
/// a project of another key as for an unknown key.
async fn taken_alone(chatkit: &ChatKit, deadline: Deadline) -> bool {
    chatkit.without_project().threads(USER, deadline).await.is_ok()
}

/// Returns one result per workflow.
pub(super) async fn workflows(
    chatkit: &ChatKit,
    state: &DeploymentState,
    deadline: Deadline,
) -> Vec<CheckResult> {
    if state.workflows.is_empty() {
        return vec![CheckResult::skipped(Check::Workflow, "no agent is enabled")];
    }
    let opened: Vec<_> =
        state.workflows.iter().map(|workflow| examine(chatkit, workflow, deadline)).collect();
    let mut findings: Vec<_> = stream::iter(opened).buffered(AT_ONCE).collect().await;
    let left = state.workflow_count.saturating_sub(state.workflows.len());
    if left > 0 {
        findings.push(CheckResult::skipped(Check::Workflow, format!("{left} more, of fewer agents each")));
    }
    findings
}

async fn examine(chatkit: &ChatKit, workflow: &AgentWorkflow, deadline: Deadline) -> CheckResult {
    let finding = match deadline.remaining() {
        remaining if remaining < MIN_TIME_LEFT => {
            CheckResult::skipped(Check::Workflow, "no time was left for it")
        }
        _ => opened_and_cancelled(chatkit, workflow, deadline.capped(super::CHECK_TIMEOUT)).await,
    };
    let version = workflow.workflow_version.as_ref().map(|version| format!(", version {version}"));
    let agents = for_agents(&workflow.agent_id, workflow.agents);
    finding.subject(format!("{}{} ({agents})", workflow.workflow_id, version.unwrap_or_default()))
}

async fn opened_and_cancelled(
    chatkit: &ChatKit,
    workflow: &AgentWorkflow,
    deadline: Deadline,
) -> CheckResult {
    let opening = ChatKitSessionRequest {
        user: USER.to_owned(),
        workflow_id: workflow.workflow_id.clone(),
        workflow_version: workflow.workflow_version.clone(),
        tracing_enabled: false,
        lifetime_seconds: Some(1),
    };
    let opened = match chatkit.create_session(&opening, deadline).await {
        Ok(opened) => opened,
        Err(error) if error.cause == OpenAiCause::RateLimited => {
            return CheckResult::skipped(
                Check::Workflow,
                "OpenAI asks to wait: its quota is used up for the moment",
            );
        }
        Err(error) => return refused(CheckResult::fault(Check::Workflow, code(error.cause)), &error),
    };
    match chatkit.cancel_session(&opened.id, deadline).await {
        Ok(()) => CheckResult::ok(Check::Workflow),
        Err(error) => refused(CheckResult::fault(Check::Workflow, FaultCode::SessionNotCancelled), &error),
    }
}

/// Adds OpenAI's request id, by which its support finds the request.
fn refused(finding: CheckResult, error: &Error) -> CheckResult {
    match &error.request_id {
        Some(id) => finding.detail(format!("OpenAI's request {id}")),
        None => finding,
    }
}

fn code(cause: OpenAiCause) -> FaultCode {
    match cause {
        OpenAiCause::KeyRejected => FaultCode::ChatkitKeyRejected,
        OpenAiCause::ProjectRefused => FaultCode::ChatkitProjectRefused,
        OpenAiCause::WorkflowNotFound => FaultCode::WorkflowNotFound,
        OpenAiCause::AgentRefused => FaultCode::WorkflowRefused,
        OpenAiCause::Blocked => FaultCode::ChatkitRequestBlocked,
        OpenAiCause::QuotaExhausted => FaultCode::ChatkitQuotaExhausted,
        OpenAiCause::RateLimited | OpenAiCause::Unavailable | OpenAiCause::Interrupted => {
            FaultCode::ChatkitUnavailable
        }
        OpenAiCause::TimedOut => FaultCode::ChatkitTimedOut,
        OpenAiCause::BadAnswer | OpenAiCause::NotFound => FaultCode::ChatkitBadAnswer,
    }
}
