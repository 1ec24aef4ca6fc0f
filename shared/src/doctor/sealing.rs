//! Checks that every client secret that could still be returned to a client can be opened.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::DeploymentState,
};
use crate::platform::sealing::Sealer;

/// Returns one result per missing key, or one success.
pub(super) fn check(sealer: &Sealer, state: &DeploymentState) -> Vec<CheckResult> {
    let gone = state.sealing_key_ids.iter().filter(|id| !sealer.has_key(id));
    let findings: Vec<_> = gone
        .map(|id| CheckResult::fault(Check::SealingKeys, FaultCode::SealingKeyMissing).subject(id))
        .collect();
    if findings.is_empty() { vec![CheckResult::ok(Check::SealingKeys)] } else { findings }
}
