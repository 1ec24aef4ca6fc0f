//! Types of an escalation and of a decision on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use crate::clients::{Approver, Decision, Risk};
use crate::{
    auth::{Assurance, DecisionRules},
    error::ErrorCode,
    platform::{parse::Timestamp, string_enum::words},
};

/// A request for a human decision, as stored in the table and returned by the API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Escalation {
    pub id: Uuid,
    pub session_id: Uuid,
    /// The session's user, who made the request.
    pub user_id: Uuid,
    /// The event that opened it.
    pub event_id: Uuid,
    pub origin: Origin,
    pub kind: EscalationKind,
    /// Why a human decision is needed.
    pub reason: String,
    /// The decisions that may be taken.
    pub decisions: Vec<Decision>,
    /// JSON schema of the answer, if it has one.
    pub answer_schema: Option<Value>,
    pub risk: Risk,
    pub approver: Approver,
    /// The person who wrote the call, by an edit or an answer, and who may not approve it.
    pub author_id: Option<Uuid>,
    /// The escalation in which that person wrote it.
    pub predecessor_id: Option<Uuid>,
    /// The stored call or request that the decision is about. An approval applies to nothing else.
    pub subject: Map<String, Value>,
    /// Hash of the subject, which a decision must quote.
    pub subject_hash: String,
    pub status: EscalationStatus,
    pub created_at: Timestamp,
    /// Time until which it can be decided.
    pub expires_at: Timestamp,
    pub decision: Option<Decision>,
    pub answer: Option<Value>,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<Timestamp>,
    /// The comment of the person who decided.
    pub comment: Option<String>,
    /// The decisions that need a comment.
    pub comment_required: Vec<Decision>,
    pub closed_at: Option<Timestamp>,
    pub user_name: Option<String>,
    pub author_name: Option<String>,
    pub decided_by_name: Option<String>,
    /// The person who works on it, until [`Escalation::claimed_until`].
    pub claimed_by: Option<Uuid>,
    pub claimed_by_name: Option<String>,
    pub claimed_until: Option<Timestamp>,
    pub may_decide: MayDecide,
}

/// The decisions that the caller may take now. The database applies the same rule when it records a
/// decision.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MayDecide {
    pub decisions: Vec<Decision>,
    /// Why the caller may not take the others. `None` if the caller may take all of them.
    pub because: Option<Obstacle>,
}

impl MayDecide {
    /// Applies the rules about the caller's token, which the database does not know.
    pub fn restrict(&mut self, rules: &DecisionRules, assurance: &Assurance) {
        let Err(error) = rules.check(assurance) else { return };
        self.decisions.clear();
        self.because = Some(match error.code {
            ErrorCode::StepUpRequired => Obstacle::StepUpRequired,
            _ => Obstacle::OauthClientForbidden,
        });
    }
}

words! {
    /// Why a caller may not decide: the status of a closed escalation, or the code of the error
    /// with which the decision would be rejected.
    pub enum Obstacle {
        Resolved = "resolved",
        Expired = "expired",
        Withdrawn = "withdrawn",
        OwnRequest = "own_request",
        AuthorMayNotDecide = "author_may_not_decide",
        RequesterMustConfirm = "requester_must_confirm",
        /// The token names an approver, and the database does not. A decision is rejected as for an
        /// escalation that does not exist.
        ApproverRoleRequired = "approver_role_required",
        NotAMember = "not_a_member",
        OauthClientForbidden = "oauth_client_forbidden",
        StepUpRequired = "step_up_required",
    }
}

/// An escalation and what became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct EscalationDetails {
    #[serde(flatten)]
    pub escalation: Escalation,
    /// The delivery that the decision continues, or the one that waits for it.
    pub delivery: Option<EscalationDelivery>,
    /// The escalation that an edit or answer opened.
    pub successor_id: Option<Uuid>,
    /// Earlier rejections of the same request, newest first.
    pub rejected_before: Vec<Rejection>,
}

/// The status of a delivery, as the table has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EscalationDelivery {
    pub id: Uuid,
    pub status: String,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Rejection {
    pub id: Uuid,
    pub at: Timestamp,
}

words! {
    /// The part of the system that opened an escalation.
    pub enum Origin {
        /// The frontend, with an event. No delivery depends on the decision.
        Browser = "browser",
        /// The orchestrator: the decision resumes a delivery.
        Orchestrator = "orchestrator",
    }
}

words! {
    pub enum EscalationKind {
        /// The frontend requested a human decision.
        Browser = "browser",
        /// The policy of the tool requires approval before the call is made.
        Policy = "policy",
        /// The requester must confirm the call before it is made.
        Confirm = "confirm",
        /// The agent needs an answer to continue.
        AgentAsked = "agent_asked",
        /// The call failed permanently; a person decides whether to try again.
        AgentFailed = "agent_failed",
        /// The call may or may not have been executed; a person decides whether to call again.
        OutcomeUnknown = "outcome_unknown",
    }
}

words! {
    /// Status of an escalation. All but `open` are final.
    pub enum EscalationStatus {
        Open = "open",
        Resolved = "resolved",
        /// The deadline passed without a decision.
        Expired = "expired",
        /// The session ended, or the decision is no longer needed.
        Withdrawn = "withdrawn",
    }
}

/// A decision as the caller sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewDecision {
    pub decision: Decision,
    /// The answer, if the decision needs one; `null` is the same as none.
    pub answer: Option<Answer>,
    /// A comment for the agent and for later readers.
    pub comment: Option<Comment>,
    /// The hash of the subject that was displayed to the person.
    pub subject_hash: SubjectHash,
}

/// An answer: any JSON of at most 16 KiB, the same limit as for an event's payload.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Value")]
pub struct Answer(Value);

/// Maximum size of an answer as compact JSON, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

impl Answer {
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl TryFrom<Value> for Answer {
    type Error = String;

    fn try_from(answer: Value) -> Result<Self, String> {
        let size = answer.to_string().len();
        let large = || format!("has {size} bytes; at most {MAX_ANSWER} are kept");
        (size <= MAX_ANSWER).then_some(Self(answer)).ok_or_else(large)
    }
}

/// A comment with a decision: 1 to 2000 characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Comment(String);

impl TryFrom<String> for Comment {
    type Error = &'static str;

    fn try_from(comment: String) -> Result<Self, Self::Error> {
        let fits = (1..=2000).contains(&comment.chars().count());
        fits.then_some(Self(comment)).ok_or("must have 1 to 2000 characters")
    }
}

/// Hash of an escalation's subject: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct SubjectHash(String);

impl SubjectHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SubjectHash {
    type Error = &'static str;

    fn try_from(hash: String) -> Result<Self, Self::Error> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let sound = hash.len() == 64 && hash.bytes().all(hex);
        sound.then_some(Self(hash)).ok_or("must be the escalation's subjectHash, 64 hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<NewDecision, String> {
        serde_json::from_value(body).map_err(|error| error.to_string())
    }

    #[test]
    fn decision_requires_a_valid_subject_hash() {
        let hash = "0f".repeat(32);
        let decision = read(json!({"decision": "approve", "answer": null, "subjectHash": hash})).unwrap();
        assert_eq!((decision.decision, decision.answer), (Decision::Approve, None));
        assert_eq!(decision.subject_hash.as_str(), hash);
        let comment = json!({"decision": "reject", "subjectHash": hash, "comment": "é".repeat(2000)});
        assert!(read(comment).unwrap().comment.is_some());
        for wrong in [
            json!({"decision": "approve"}),
            json!({"decision": "perhaps", "subjectHash": hash}),
            json!({"decision": "approve", "subjectHash": hash.to_uppercase()}),
            json!({"decision": "approve", "subjectHash": &hash[1..]}),
            json!({"decision": "approve", "subjectHash": hash, "reason": "why not"}),
            json!({"decision": "respond", "subjectHash": hash, "answer": "x".repeat(MAX_ANSWER)}),
            json!({"decision": "reject", "subjectHash": hash, "comment": ""}),
            json!({"decision": "reject", "subjectHash": hash, "comment": "é".repeat(2001)}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
