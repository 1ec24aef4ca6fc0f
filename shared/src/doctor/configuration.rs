//! Checks the environment's variables, and reports all errors at once that would
//! keep any function from starting.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{SelfHostedAgents, for_agents},
};
use crate::platform::config::ConfigError;

/// Returns one result per error, or one success. `unserved` are self-hosted agents without a chat.
pub(super) fn check(mistakes: &[ConfigError], unserved: Option<&SelfHostedAgents>) -> Vec<CheckResult> {
    let unserved = unserved.and_then(|unserved| {
        let agent_id = unserved.agent_id.as_ref()?;
        let fault = CheckResult::fault(Check::Configuration, FaultCode::ChatkitApiUrlMissing);
        Some(fault.subject("CHATKIT_API_URL").detail(for_agents(agent_id, unserved.agents)))
    });
    if mistakes.is_empty() && unserved.is_none() {
        return vec![CheckResult::ok(Check::Configuration)];
    }
    let finding = |mistake: &ConfigError| {
        let code = if mistake.reason == crate::platform::config::NOT_SET {
            FaultCode::VariableMissing
        } else {
            FaultCode::VariableInvalid
        };
        let finding = CheckResult::fault(Check::Configuration, code).subject(mistake.variable);
        finding.detail(format!("{} {}", mistake.variable, mistake.reason))
    };
    mistakes.iter().map(finding).chain(unserved).collect()
}
