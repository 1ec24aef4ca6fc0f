//! The faults that were ordered, and which of them hits a request.

use super::fault::Fault;
use super::operation::Operation;

/// Names a fault that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

#[derive(Debug)]
struct Ordered {
    id: FaultId,
    fault: Fault,
    hits: u32,
    cleared: bool,
}

/// All faults that were ever ordered.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Ordered>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.0.len() as u64);
        self.0.push(Ordered { id, fault, hits: 0, cleared: false });
        id
    }

    /// The fault that hits this request.
    pub(super) fn take(&mut self, on: Option<Operation>, user: Option<&str>, path: &str) -> Option<Fault> {
        let mut live = self.0.iter_mut().filter(|o| !o.cleared && !o.fault.used_up(o.hits));
        let ordered = live.find(|o| o.fault.fits(on, user, path))?;
        ordered.hits += 1;
        Some(ordered.fault.clone())
    }

    pub(super) fn hits(&self, id: FaultId) -> u32 {
        self.0.iter().find(|o| o.id == id).map_or(0, |o| o.hits)
    }

    pub(super) fn clear(&mut self, id: Option<FaultId>) {
        for ordered in self.0.iter_mut().filter(|o| id.is_none_or(|id| o.id == id)) {
            ordered.cleared = true;
        }
    }
}
