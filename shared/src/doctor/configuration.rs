//! The environment's variables: every mistake that would keep some function from starting, all at once.

use super::{
    code::Code,
    finding::{Check, Finding},
};
use crate::platform::config::Mistake;

/// A finding a mistake, or one that all is well.
pub(super) fn examine(mistakes: &[Mistake]) -> Vec<Finding> {
    if mistakes.is_empty() {
        return vec![Finding::ok(Check::Configuration)];
    }
    let finding = |mistake: &Mistake| {
        let code = if mistake.reason == crate::platform::config::NOT_SET {
            Code::VariableMissing
        } else {
            Code::VariableInvalid
        };
        let finding = Finding::fault(Check::Configuration, code).about(mistake.variable);
        finding.detail(format!("{} {}", mistake.variable, mistake.reason))
    };
    mistakes.iter().map(finding).collect()
}
