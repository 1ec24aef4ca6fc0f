//! Whether organisations have the people that approvals by another person need.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::State,
};

/// A warning if an organisation has fewer than two approvers. Which one is not said: a report names no organisation.
pub(super) fn check(state: Option<&State>) -> CheckResult {
    let check = Check::Approvers;
    match state.map(|state| state.organisations_short_of_approvers) {
        None => CheckResult::blocked_by(check, Check::Migrations),
        Some(0) => CheckResult::ok(check),
        Some(organisations) => CheckResult::warning(check, FaultCode::ApproversTooFew)
            .detail(format!("{organisations} organisations")),
    }
}
