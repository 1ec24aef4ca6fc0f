//! The added faults, and the choice of the one that affects a request.

use super::fault::Fault;
use super::operation::Operation;

/// Identifies an added fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

#[derive(Debug)]
struct FaultEntry {
    id: FaultId,
    fault: Fault,
    hits: u32,
    cleared: bool,
}

/// All faults, including cleared ones.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FaultEntry>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.0.len() as u64);
        self.0.push(FaultEntry { id, fault, hits: 0, cleared: false });
        id
    }

    /// Returns the fault that affects this request, and counts the hit.
    pub(super) fn take(&mut self, on: Option<Operation>, user: Option<&str>, path: &str) -> Option<Fault> {
        let mut live = self.0.iter_mut().filter(|o| !o.cleared && !o.fault.is_exhausted(o.hits));
        let entry = live.find(|o| o.fault.matches(on, user, path))?;
        entry.hits += 1;
        Some(entry.fault.clone())
    }

    pub(super) fn hits(&self, id: FaultId) -> u32 {
        self.0.iter().find(|o| o.id == id).map_or(0, |o| o.hits)
    }

    pub(super) fn clear(&mut self, id: Option<FaultId>) {
        for entry in self.0.iter_mut().filter(|o| id.is_none_or(|id| o.id == id)) {
            entry.cleared = true;
        }
    }
}
