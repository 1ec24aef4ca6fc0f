//! Whether OpenAI takes our key and project, and opens sessions with each agent's workflow. A session that is opened here lives for a
//! second, belongs to nobody, and is cancelled at once; nobody ever holds its secret.

use futures_util::{StreamExt, stream};

use super::{
    LEAST,
    code::Code,
    finding::{Check, Finding},
    state::{State, Workflow, for_agents},
};
use crate::{
    clients::openai::{ChatKit, Error, Kind, Opening},
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
pub(super) async fn key(chatkit: &ChatKit, deadline: Deadline) -> Finding {
    match chatkit.threads(USER, deadline).await {
        Ok(_) => Finding::ok(Check::Chatkit).detail(ALLOW_LIST),
        // Asked too often: whom OpenAI does not know it does not count.
        Err(error) if error.kind == Kind::RateLimited => Finding::ok(Check::Chatkit)
            .detail("OpenAI asks to wait, which it does only where it takes the key"),
        Err(error) => {
            let code = match code(error.kind) {
                Code::ChatkitKeyRefused if taken_alone(chatkit, deadline).await => {
                    Code::ChatkitProjectRefused
                }
                code => code,
            };
            refused(Finding::fault(Check::Chatkit, code), &error)
        }
    }
}

/// Whether the key is taken where no project is named: OpenAI answers to a key in another's project as to one that it does not know.
async fn taken_alone(chatkit: &ChatKit, deadline: Deadline) -> bool {
    chatkit.unbound().threads(USER, deadline).await.is_ok()
}

/// A finding a workflow.
pub(super) async fn workflows(chatkit: &ChatKit, state: &State, deadline: Deadline) -> Vec<Finding> {
    if state.workflows.is_empty() {
        return vec![Finding::skipped(Check::Workflow, "no agent is enabled")];
    }
    let opened: Vec<_> =
        state.workflows.iter().map(|workflow| examine(chatkit, workflow, deadline)).collect();
    let mut findings: Vec<_> = stream::iter(opened).buffered(AT_ONCE).collect().await;
    let left = state.workflow_count.saturating_sub(state.workflows.len());
    if left > 0 {
        findings.push(Finding::skipped(Check::Workflow, format!("{left} more, of fewer agents each")));
    }
    findings
}

async fn examine(chatkit: &ChatKit, workflow: &Workflow, deadline: Deadline) -> Finding {
    let finding = match deadline.remaining() {
        remaining if remaining < LEAST => Finding::skipped(Check::Workflow, "no time was left for it"),
        _ => opened_and_cancelled(chatkit, workflow, deadline.within(super::LONGEST)).await,
    };
    let version = workflow.workflow_version.as_ref().map(|version| format!(", version {version}"));
    let agents = for_agents(&workflow.agent_id, workflow.agents);
    finding.about(format!("{}{} ({agents})", workflow.workflow_id, version.unwrap_or_default()))
}

async fn opened_and_cancelled(chatkit: &ChatKit, workflow: &Workflow, deadline: Deadline) -> Finding {
    let opening = Opening {
        user: USER.to_owned(),
        workflow_id: workflow.workflow_id.clone(),
        workflow_version: workflow.workflow_version.clone(),
        tracing_enabled: false,
        lifetime_seconds: Some(1),
    };
    let opened = match chatkit.open(&opening, deadline).await {
        Ok(opened) => opened,
        Err(error) if error.kind == Kind::RateLimited => {
            return Finding::skipped(
                Check::Workflow,
                "OpenAI asks to wait: its quota is used up for the moment",
            );
        }
        Err(error) => return refused(Finding::fault(Check::Workflow, code(error.kind)), &error),
    };
    match chatkit.cancel(&opened.id, deadline).await {
        Ok(()) => Finding::ok(Check::Workflow),
        Err(error) => refused(Finding::fault(Check::Workflow, Code::SessionNotCancelled), &error),
    }
}

/// With what OpenAI's support finds the call by.
fn refused(finding: Finding, error: &Error) -> Finding {
    match &error.request_id {
        Some(id) => finding.detail(format!("OpenAI's request {id}")),
        None => finding,
    }
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::KeyRefused => Code::ChatkitKeyRefused,
        Kind::ProjectRefused => Code::ChatkitProjectRefused,
        Kind::WorkflowNotFound => Code::WorkflowNotFound,
        Kind::AgentRefused => Code::WorkflowRefused,
        Kind::Blocked => Code::ChatkitRequestBlocked,
        Kind::QuotaExhausted => Code::ChatkitQuotaExhausted,
        Kind::RateLimited | Kind::Unavailable | Kind::Interrupted => Code::ChatkitUnavailable,
        Kind::TimedOut => Code::ChatkitTimedOut,
        Kind::BadAnswer | Kind::NotFound => Code::ChatkitBadAnswer,
    }
}
