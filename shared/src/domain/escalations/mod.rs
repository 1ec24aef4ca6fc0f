//! Escalations: where a person is asked, and what they decide. A decision is on exactly what was shown, which it names by its
//! hash; the database sees to it that there is one.

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
