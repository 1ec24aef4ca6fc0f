//! Escalations: requests for a human decision. A decision quotes the hash of the subject that was
//! displayed, so it applies to nothing else. The database records one decision per escalation.

mod claim;
#[cfg(feature = "json-schema")]
mod decide;
mod list;
mod query;

pub use claim::{NewClaim, claim, release};
#[cfg(feature = "json-schema")]
pub use decide::{ResolvedEscalation, decide};
pub use list::{ClaimedBy, Decidable, EscalationFilter, ListQuery, Sort, StatusList, ToolName, list};
pub use query::find;

pub use super::model::escalation::{
    Answer, Approver, Comment, Decision, Escalation, EscalationDelivery, EscalationDetails, EscalationKind,
    EscalationStatus, MayDecide, NewDecision, Obstacle, Origin, Rejection, Risk, SubjectHash,
};
