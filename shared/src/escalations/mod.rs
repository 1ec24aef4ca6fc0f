//! Escalations: where a person is asked, and what they decide. A decision is on exactly what was shown, which it names by its
//! hash; the database sees to it that there is one.

#[cfg(feature = "json-schema")]
mod deciding;
mod reading;
mod types;

#[cfg(feature = "json-schema")]
pub use deciding::{Resolved, decide};
pub use reading::{find, list};
pub use types::{
    Answer, Approver, Decided, Decision, Escalation, Kind, NewDecision, Origin, Risk, Status, SubjectHash,
};
