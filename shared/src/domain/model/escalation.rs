//! What an escalation consists of, and what a person says to it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::platform::{parse::Timestamp, string_enum::words};

/// A question to a person, as the table keeps it and the API shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Escalation {
    /// Ours.
    pub id: Uuid,
    /// The session in which it came up.
    pub session_id: Uuid,
    /// Whose session that is, and so whose request.
    pub user_id: Uuid,
    /// The event that opened it.
    pub event_id: Uuid,
    /// Who opened it.
    pub origin: Origin,
    /// What it is about.
    pub kind: EscalationKind,
    /// Why a person is needed.
    pub reason: String,
    /// What may be decided.
    pub decisions: Vec<Decision>,
    /// The JSON schema of an answer, where there is one.
    pub answer_schema: Option<Value>,
    /// How much is at stake.
    pub risk: Risk,
    /// Who may decide.
    pub approver: Approver,
    /// Who wrote the call that is decided about, by an edit or an answer, and may not approve it.
    pub author_id: Option<Uuid>,
    /// The escalation in which it was written.
    pub predecessor_id: Option<Uuid>,
    /// What is decided about, as it is stored: an approval is good for this and for nothing else.
    pub subject: Map<String, Value>,
    /// The hash by which a decision names the subject.
    pub subject_hash: String,
    /// What has become of it.
    pub status: EscalationStatus,
    /// Since when it is open.
    pub created_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// What was decided.
    pub decision: Option<Decision>,
    /// What was answered.
    pub answer: Option<Value>,
    /// Who decided.
    pub decided_by: Option<Uuid>,
    /// When they did.
    pub decided_at: Option<Timestamp>,
}

words! {
    /// Who opened an escalation.
    pub enum Origin {
        /// The frontend: a person is asked for, and nothing depends on it here.
        Browser = "browser",
        /// We did: the decision sets a delivery going.
        Orchestrator = "orchestrator",
    }
}

words! {
    /// What an escalation is about.
    pub enum EscalationKind {
        /// The frontend asked for a person.
        Browser = "browser",
        /// A call was held before it was made, because its tool's policy says so.
        Policy = "policy",
        /// A call is held until the requester confirms it.
        Confirm = "confirm",
        /// The agent wants an answer to go on.
        AgentAsked = "agent_asked",
        /// The call failed for good; whether to try once more.
        AgentFailed = "agent_failed",
        /// Nobody knows whether the call was done; whether to call again.
        OutcomeUnknown = "outcome_unknown",
    }
}

words! {
    /// What a person may decide.
    pub enum Decision {
        /// Do it.
        Approve = "approve",
        /// Do it otherwise.
        Edit = "edit",
        /// Do not do it.
        Reject = "reject",
        /// Here is the answer.
        Respond = "respond",
    }
}

words! {
    /// How much is at stake.
    pub enum Risk {
        /// Little.
        Low = "low",
        /// More.
        Medium = "medium",
        /// Much.
        High = "high",
    }
}

words! {
    /// Who may decide.
    pub enum Approver {
        /// The session's user too.
        SelfOrOther = "self",
        /// Only somebody else.
        OtherOnly = "other",
    }
}

words! {
    /// What has become of an escalation. Whatever is not open stays as it is.
    pub enum EscalationStatus {
        /// It waits for a person.
        Open = "open",
        /// A person has decided.
        Resolved = "resolved",
        /// Nobody has in time.
        Expired = "expired",
        /// It went with its session, or what it asks about was done otherwise.
        Withdrawn = "withdrawn",
    }
}

/// A decision that somebody sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewDecision {
    /// What they decide.
    pub decision: Decision,
    /// What they answer; null is nothing.
    pub answer: Option<Answer>,
    /// What they decide about.
    pub subject_hash: SubjectHash,
}

/// An answer: any JSON of at most 16 KiB, as an event's payload is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Value")]
pub struct Answer(Value);

/// The most bytes that an answer has as compact JSON.
const MAX_ANSWER: usize = 16 * 1024;

impl Answer {
    /// What it says.
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

/// The hash of what is decided about, as the escalation shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct SubjectHash(String);

impl SubjectHash {
    /// The hash as text.
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
    fn a_decision_says_what_and_about_what() {
        let hash = "0f".repeat(32);
        let decision = read(json!({"decision": "approve", "answer": null, "subjectHash": hash})).unwrap();
        assert_eq!((decision.decision, decision.answer), (Decision::Approve, None));
        assert_eq!(decision.subject_hash.as_str(), hash);
        for wrong in [
            json!({"decision": "approve"}),
            json!({"decision": "perhaps", "subjectHash": hash}),
            json!({"decision": "approve", "subjectHash": hash.to_uppercase()}),
            json!({"decision": "approve", "subjectHash": &hash[1..]}),
            json!({"decision": "approve", "subjectHash": hash, "reason": "why not"}),
            json!({"decision": "respond", "subjectHash": hash, "answer": "x".repeat(MAX_ANSWER)}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
