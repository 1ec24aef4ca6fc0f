//! Each registered agent's server: whether it may be reached and is, speaks MCP, takes our credential, and offers the tools that its
//! registration lists. No tool is called.

use futures_util::{StreamExt, stream};

use super::{
    LEAST, LONGEST,
    code::Code,
    finding::{Check, Finding},
    state::{AgentServer, State, for_agents},
};
use crate::{
    clients::mcp::{Answered, CallError, Client, Reason, Target},
    platform::http_client::Deadline,
};

/// Servers asked at the same time.
const AT_ONCE: usize = 8;

/// A finding a server.
pub(super) async fn examine(client: &Client, state: &State, deadline: Deadline) -> Vec<Finding> {
    if state.agent_servers.is_empty() {
        return vec![Finding::skipped(Check::AgentServer, "no enabled agent has a server")];
    }
    let asked: Vec<_> = state.agent_servers.iter().map(|server| ask(client, server, deadline)).collect();
    let mut findings: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let left = state.agent_server_count.saturating_sub(state.agent_servers.len());
    if left > 0 {
        findings.push(Finding::skipped(Check::AgentServer, format!("{left} more, of fewer agents each")));
    }
    findings
}

async fn ask(client: &Client, server: &AgentServer, deadline: Deadline) -> Finding {
    let about = format!("{} ({})", shown(&server.url), for_agents(&server.agent_id, server.agents));
    if deadline.remaining() < LEAST {
        return Finding::skipped(Check::AgentServer, "no time was left for it").about(about);
    }
    let target = Target { url: &server.url, credential: server.credential.as_deref(), timeout: LONGEST };
    let finding = match client.offered(&target, deadline).await {
        Ok(offered) => {
            let missing: Vec<&str> = server.tools.difference(&offered).map(String::as_str).collect();
            if missing.is_empty() {
                Finding::ok(Check::AgentServer)
            } else {
                fault(Code::AgentToolMissing).detail(missing.join(", "))
            }
        }
        Err(error) => fault(code(&error)).detail(error.code()),
    };
    finding.about(about)
}

/// A URL without its query, in which somebody may have put what nobody should see.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn fault(code: Code) -> Finding {
    Finding::fault(Check::AgentServer, code)
}

fn code(error: &CallError) -> Code {
    match error {
        CallError::NotSent(reason) | CallError::Unknown(reason) => match reason {
            Reason::Refused(_) => Code::AgentUrlRefused,
            Reason::CredentialMissing => Code::AgentCredentialMissing,
            Reason::CredentialElsewhere => Code::AgentCredentialElsewhere,
            Reason::Unreachable | Reason::ConnectionLost | Reason::SessionLost => Code::AgentUnreachable,
            Reason::Untrusted => Code::AgentTls,
            Reason::TimedOut => Code::AgentTimedOut,
            Reason::Incompatible => Code::AgentIncompatible,
            Reason::Nonsense | Reason::TooLarge | Reason::BadResult | Reason::AnswerUnfit => {
                Code::AgentNotMcp
            }
        },
        CallError::Answered(Answered { status: 401 | 403, .. }) => Code::AgentUnauthorized,
        // A page that is not there, moved, or takes no POST.
        CallError::Answered(Answered { status: 300..=499, .. }) => Code::AgentNotMcp,
        CallError::Answered(_) => Code::AgentFailed,
    }
}
