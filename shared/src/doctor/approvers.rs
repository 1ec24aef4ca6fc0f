//! Whether organisations have the people that approvals by another person need.

use super::{
    code::Code,
    finding::{Check, Finding},
    state::State,
};

/// A warning if an organisation has fewer than two approvers. Which one is not said: a report names no organisation.
pub(super) fn examine(state: Option<&State>) -> Finding {
    let check = Check::Approvers;
    match state.map(|state| state.organisations_short_of_approvers) {
        None => Finding::waits_for(check, Check::Migrations),
        Some(0) => Finding::ok(check),
        Some(organisations) => {
            Finding::warning(check, Code::ApproversTooFew).detail(format!("{organisations} organisations"))
        }
    }
}
