//! Escalations: requests for a human decision. A decision quotes the hash of the subject that was
//! displayed, so it applies to nothing else. The database records one decision per escalation.

#[cfg(feature = "json-schema")]
mod decide;
mod query;

#[cfg(feature = "json-schema")]
pub use decide::{ResolvedEscalation, decide};
pub use query::{find, list};

pub use super::model::escalation::{
    Answer, Approver, Decision, Escalation, EscalationKind, EscalationStatus, NewDecision, Origin, Risk,
    SubjectHash,
};
