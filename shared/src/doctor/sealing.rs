//! Whether every client secret that could still be handed out can be opened.

use super::{
    code::Code,
    finding::{Check, Finding},
    state::State,
};
use crate::platform::sealing::Sealer;

/// A finding a key that is gone, or one that none is.
pub(super) fn examine(sealer: &Sealer, state: &State) -> Vec<Finding> {
    let gone = state.sealing_key_ids.iter().filter(|id| !sealer.knows(id));
    let findings: Vec<_> =
        gone.map(|id| Finding::fault(Check::SealingKeys, Code::SealingKeyMissing).about(id)).collect();
    if findings.is_empty() { vec![Finding::ok(Check::SealingKeys)] } else { findings }
}
