//! Whether OpenAI takes our key and project, and opens sessions with each agent's workflow. A session that is opened here lives for a
//! second, belongs to nobody, and is cancelled at once; nobody ever holds its secret.

use futures_util::{StreamExt, stream};

use super::{
    MIN_TIME_LEFT,
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{State, Workflow, for_agents},
};
use crate::{
    clients::openai::{ChatKit, CreateSession, Error, Kind},
    platform::http_client::Deadline,
};

/// Whom sessions are opened for. Users of ours are UUIDs.
const USER: &str = "chatkit-sessions-doctor";

/// What cannot be asked from here, and is the commonest reason for a chat that stays blank.
const ALLOW_LIST: &str =
    "not seen from here: the domain of every page with the chat has to be on OpenAI's domain allow-list";

/// Sessions opened at the same time.
const AT_ONCE: usize = 4;

/// Whether the key and the project are taken, by a question that costs nothing.
pub(super) async fn key(chatkit: &ChatKit, deadline: Deadline) -> CheckResult {
    match chatkit.threads(USER, deadline).await {
        Ok(_) => CheckResult::ok(Check::Chatkit).detail(ALLOW_LIST),
        // Asked too often: whom OpenAI does not know it does not count.
        Err(error) if error.kind == Kind::RateLimited => CheckResult::ok(Check::Chatkit)
            .detail("OpenAI asks to wait, which it does only where it takes the key"),
        Err(error) => {
            let code = match code(error.kind) {
                FaultCode::ChatkitKeyRefused if taken_alone(chatkit, deadline).await => {
                    FaultCode::ChatkitProjectRefused
                }
                code => code,
            };
            refused(CheckResult::fault(Check::Chatkit, code), &error)
        }
    }
}

/// Whether the key is taken where no project is named: OpenAI answers to a key in another's project as to one that it does not know.
async fn taken_alone(chatkit: &ChatKit, deadline: Deadline) -> bool {
    chatkit.without_project().threads(USER, deadline).await.is_ok()
}

/// A finding a workflow.
pub(super) async fn workflows(chatkit: &ChatKit, state: &State, deadline: Deadline) -> Vec<CheckResult> {
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

async fn examine(chatkit: &ChatKit, workflow: &Workflow, deadline: Deadline) -> CheckResult {
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

async fn opened_and_cancelled(chatkit: &ChatKit, workflow: &Workflow, deadline: Deadline) -> CheckResult {
    let opening = CreateSession {
        user: USER.to_owned(),
        workflow_id: workflow.workflow_id.clone(),
        workflow_version: workflow.workflow_version.clone(),
        tracing_enabled: false,
        lifetime_seconds: Some(1),
    };
    let opened = match chatkit.create_session(&opening, deadline).await {
        Ok(opened) => opened,
        Err(error) if error.kind == Kind::RateLimited => {
            return CheckResult::skipped(
                Check::Workflow,
                "OpenAI asks to wait: its quota is used up for the moment",
            );
        }
        Err(error) => return refused(CheckResult::fault(Check::Workflow, code(error.kind)), &error),
    };
    match chatkit.cancel_session(&opened.id, deadline).await {
        Ok(()) => CheckResult::ok(Check::Workflow),
        Err(error) => refused(CheckResult::fault(Check::Workflow, FaultCode::SessionNotCancelled), &error),
    }
}

/// With what OpenAI's support finds the call by.
fn refused(finding: CheckResult, error: &Error) -> CheckResult {
    match &error.request_id {
        Some(id) => finding.detail(format!("OpenAI's request {id}")),
        None => finding,
    }
}

fn code(kind: Kind) -> FaultCode {
    match kind {
        Kind::KeyRefused => FaultCode::ChatkitKeyRefused,
        Kind::ProjectRefused => FaultCode::ChatkitProjectRefused,
        Kind::WorkflowNotFound => FaultCode::WorkflowNotFound,
        Kind::AgentRefused => FaultCode::WorkflowRefused,
        Kind::Blocked => FaultCode::ChatkitRequestBlocked,
        Kind::QuotaExhausted => FaultCode::ChatkitQuotaExhausted,
        Kind::RateLimited | Kind::Unavailable | Kind::Interrupted => FaultCode::ChatkitUnavailable,
        Kind::TimedOut => FaultCode::ChatkitTimedOut,
        Kind::BadAnswer | Kind::NotFound => FaultCode::ChatkitBadAnswer,
    }
}
