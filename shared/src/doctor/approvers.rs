//! Checks that organisations have enough approvers for approvals by another person.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::DeploymentState,
};

/// Returns a warning if an organisation has fewer than two approvers.
/// A report names no organisation.
pub(super) fn check(state: Option<&DeploymentState>) -> CheckResult {
    let check = Check::Approvers;
    match state.map(|state| state.organisations_short_of_approvers) {
        None => CheckResult::blocked_by(check, Check::Migrations),
        Some(0) => CheckResult::ok(check),
        Some(organisations) => CheckResult::warning(check, FaultCode::ApproversTooFew)
            .detail(format!("{organisations} organisations")),
    }
}
