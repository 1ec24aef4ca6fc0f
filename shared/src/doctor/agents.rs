//! Checks the server of each registered agent, without calling a tool. The server
//! must be allowed and reachable, speak MCP, accept our credential, and offer the
//! tools that its registration lists, with matching arguments.

use futures_util::{StreamExt, stream};

use super::{
    CHECK_TIMEOUT, MIN_TIME_LEFT,
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{AgentServer, DeploymentState, for_agents},
    tools,
};
use crate::{
    clients::mcp::{CallError, Client, ErrorResponse, Reason, Target},
    platform::http_client::Deadline,
};

/// Number of servers that are checked concurrently.
const AT_ONCE: usize = 8;

/// Returns one result per server, or one for each kind of fault that a server has.
pub(super) async fn check(client: &Client, state: &DeploymentState, deadline: Deadline) -> Vec<CheckResult> {
    if state.agent_servers.is_empty() {
        return vec![CheckResult::skipped(Check::AgentServer, "no enabled agent has a server")];
    }
    let checks: Vec<_> = state.agent_servers.iter().map(|server| ask(client, server, deadline)).collect();
    let findings: Vec<Vec<_>> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    let mut findings = findings.concat();
    let left = state.agent_server_count.saturating_sub(state.agent_servers.len());
    if left > 0 {
        findings.push(CheckResult::skipped(Check::AgentServer, format!("{left} more, of fewer agents each")));
    }
    findings
}

async fn ask(client: &Client, server: &AgentServer, deadline: Deadline) -> Vec<CheckResult> {
    let about = format!("{} ({})", shown(&server.url), for_agents(&server.agent_id, server.agents));
    if deadline.remaining() < MIN_TIME_LEFT {
        return vec![CheckResult::skipped(Check::AgentServer, "no time was left for it").subject(about)];
    }
    let target =
        Target { url: &server.url, credential: server.credential.as_deref(), timeout: CHECK_TIMEOUT };
    let findings = match client.list_tools(&target, deadline).await {
        Ok(offered) => tools::compare(&server.tools, &offered),
        Err(error) => vec![fault(code(&error)).detail(error.code())],
    };
    findings.into_iter().map(|finding| finding.subject(about.clone())).collect()
}

/// Returns a URL without its query, which may hold a secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

pub(super) fn fault(code: FaultCode) -> CheckResult {
    CheckResult::fault(Check::AgentServer, code)
}

fn code(error: &CallError) -> FaultCode {
    match error {
        CallError::NotSent(reason) | CallError::Unknown(reason) => match reason {
            Reason::Refused(_) => FaultCode::AgentUrlRefused,
            Reason::CredentialMissing => FaultCode::AgentCredentialMissing,
            Reason::CredentialUnavailable => FaultCode::AgentCredentialUnavailable,
            Reason::CredentialElsewhere => FaultCode::AgentCredentialElsewhere,
            Reason::Unreachable | Reason::ConnectionLost | Reason::SessionLost => FaultCode::AgentUnreachable,
            Reason::Untrusted => FaultCode::AgentTls,
            Reason::TimedOut => FaultCode::AgentTimedOut,
            Reason::Incompatible => FaultCode::AgentIncompatible,
            Reason::NotMcp
            | Reason::TooLarge
            | Reason::BadResult
            | Reason::AnswerMismatch
            | Reason::InvalidInputs
            | Reason::UnusableSchema => FaultCode::AgentNotMcp,
        },
        CallError::Answered(ErrorResponse { status: 401 | 403, .. }) => FaultCode::AgentUnauthorized,
        // The page does not exist, has moved, or does not accept POST.
        CallError::Answered(ErrorResponse { status: 300..=499, .. }) => FaultCode::AgentNotMcp,
        CallError::Answered(_) => FaultCode::AgentFailed,
    }
}
