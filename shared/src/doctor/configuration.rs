//! Checks the environment's variables, and reports all errors at once that would
//! keep any function from starting.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
};
use crate::platform::config::ConfigError;

/// Returns one result per error, or one success.
pub(super) fn check(mistakes: &[ConfigError]) -> Vec<CheckResult> {
    if mistakes.is_empty() {
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
    mistakes.iter().map(finding).collect()
}
