//! The types of events that a frontend may record, and what their payloads hold.
//!
//! A known type's payload is checked field by field: an unknown field is a spelling mistake until proven otherwise.
//! What an application wants to add goes into `data`, or into a type of its own, `custom_*`.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    domain::model::escalation::{Answer, Decision, SubjectHash},
    error::{FieldError, pointer},
    platform::{parse::StrictUuid, string_enum::words},
};

/// Text that is there, and no longer than a table cell should be.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct BoundedText<const MAX: usize>;

impl<const MAX: usize> TryFrom<String> for BoundedText<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        (1..=MAX)
            .contains(&length)
            .then_some(Self)
            .ok_or_else(|| format!("must have 1 to {MAX} characters, not {length}"))
    }
}

/// An id of ChatKit's: it becomes part of a path.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ChatKitId;

impl TryFrom<String> for ChatKitId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let sound = (1..=128).contains(&id.len()) && id.chars().all(plain);
        sound.then_some(Self).ok_or("must be 1 to 128 letters, digits, _ or -")
    }
}

/// Declares the payload of a type: fields that are checked on the way in and not looked at again, since what is
/// recorded is the payload as it was sent.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        #[allow(dead_code)] // reading is the check
        struct $name { $($(#[$attr])* $field: $type,)* }
    };
}

payload! {
    /// A click on a button or an action card.
    ButtonClick { action: BoundedText<200>, label: Option<BoundedText<200>>, widget_id: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A form that was sent.
    FormSubmit { form: BoundedText<200>, values: Map<String, Value>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A tool that the agent asked for.
    ToolCall { name: BoundedText<200>, call_id: Option<BoundedText<200>>, arguments: Option<Map<String, Value>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A tool that failed.
    ToolFailed { name: BoundedText<200>, message: BoundedText<2000>, call_id: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The conversation that the user is in now; `null` is a new one that has no id yet.
    ThreadChanged { thread_id: Option<ChatKitId>, }
}
payload! {
    /// What the user thought of an answer.
    Feedback { rating: Rating, comment: Option<BoundedText<2000>>, item_id: Option<ChatKitId>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// Something that went wrong in the frontend.
    Failed { message: BoundedText<2000>, name: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The session goes to another agent.
    Handover { agent_id: crate::domain::model::session::AgentId, from_agent_id: Option<crate::domain::model::session::AgentId>, reason: Option<BoundedText<2000>>, summary: Option<BoundedText<8000>>, }
}
payload! {
    /// A person is needed.
    HitlEscalation { reason: BoundedText<2000>, decisions: Decisions, schema: Option<Map<String, Value>>, expires_in_seconds: Option<Expiry>, }
}
payload! {
    /// A person has decided.
    HitlResolved { escalation_id: StrictUuid, decision: Decision, answer: Option<Answer>, subject_hash: SubjectHash, }
}

words! {
    /// What the user thought.
    enum Rating {
        /// Good.
        Positive = "positive",
        /// Not good.
        Negative = "negative",
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Vec<Decision>")]
struct Decisions;

impl TryFrom<Vec<Decision>> for Decisions {
    type Error = &'static str;

    fn try_from(decisions: Vec<Decision>) -> Result<Self, Self::Error> {
        let distinct = decisions.iter().enumerate().all(|(i, decision)| !decisions[..i].contains(decision));
        (!decisions.is_empty() && distinct)
            .then_some(Self)
            .ok_or("must name at least one decision, each once")
    }
}

#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Expiry;

impl TryFrom<u32> for Expiry {
    type Error = &'static str;

    fn try_from(seconds: u32) -> Result<Self, Self::Error> {
        (60..=2_592_000).contains(&seconds).then_some(Self).ok_or("must be from 60 to 2592000 (30 days)")
    }
}

/// Checks the type, and the payload against it. Pointers are relative to the event.
pub(super) fn validate(kind: &str, payload: &Map<String, Value>) -> Result<(), FieldError> {
    match kind {
        "button_click" => validate_as::<ButtonClick>(payload),
        "form_submit" => validate_as::<FormSubmit>(payload),
        "tool_call" => validate_as::<ToolCall>(payload),
        "tool_failed" => validate_as::<ToolFailed>(payload),
        "thread_changed" => validate_as::<ThreadChanged>(payload),
        "feedback" => validate_as::<Feedback>(payload),
        "error" => validate_as::<Failed>(payload),
        "handover" => validate_as::<Handover>(payload),
        "hitl_escalation" => validate_as::<HitlEscalation>(payload),
        "hitl_resolved" => validate_as::<HitlResolved>(payload),
        _ if is_custom(kind) => Ok(()),
        _ => Err(FieldError::at("/type", "is no known type; types of your own begin with custom_")),
    }
}

/// `custom_` and then lower-case letters, digits and underscores, 63 characters in all.
fn is_custom(kind: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    kind.strip_prefix("custom_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
        && kind.len() <= 63
}

fn validate_as<T: DeserializeOwned>(payload: &Map<String, Value>) -> Result<(), FieldError> {
    serde_path_to_error::deserialize::<_, T>(payload)
        .map(|_| ())
        .map_err(|error| FieldError::parsing(format!("/payload{}", pointer(error.path())), error.inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn outcome(kind: &str, payload: Value) -> Result<(), FieldError> {
        validate(kind, payload.as_object().unwrap())
    }

    #[test]
    fn payloads_that_say_what_they_should_are_taken() {
        for (kind, payload) in [
            ("button_click", json!({"action": "approve", "data": {"row": 4}})),
            ("form_submit", json!({"form": "vat", "values": {}})),
            ("tool_call", json!({"name": "lookup", "arguments": {"id": 1}})),
            ("tool_failed", json!({"name": "lookup", "message": "timeout"})),
            ("thread_changed", json!({"threadId": "cthr_1"})),
            ("thread_changed", json!({"threadId": null})),
            ("feedback", json!({"rating": "positive"})),
            ("error", json!({"message": "offline"})),
            ("handover", json!({"agentId": "tax_compliance", "fromAgentId": "accounts_payable"})),
            ("hitl_escalation", json!({"reason": "too much", "decisions": ["approve", "reject"]})),
            (
                "hitl_resolved",
                json!({"escalationId": Uuid::nil(), "decision": "approve", "subjectHash": "ab".repeat(32)}),
            ),
            (
                "hitl_resolved",
                json!({"escalationId": Uuid::nil(), "decision": "respond", "answer": [1], "subjectHash": "ab".repeat(32)}),
            ),
            ("custom_anything", json!({"free": ["form"]})),
        ] {
            assert_eq!(outcome(kind, payload), Ok(()), "{kind}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (kind, payload, pointer) in [
            ("button_click", json!({}), "/payload"),
            ("button_click", json!({"action": ""}), "/payload/action"),
            ("button_click", json!({"action": "a", "colour": "red"}), "/payload/colour"),
            ("thread_changed", json!({"threadId": "../x"}), "/payload/threadId"),
            ("feedback", json!({"rating": "meh"}), "/payload/rating"),
            ("feedback", json!({"rating": {"positive": null}}), "/payload/rating"),
            ("hitl_escalation", json!({"reason": "r", "decisions": []}), "/payload/decisions"),
            (
                "hitl_escalation",
                json!({"reason": "r", "decisions": ["approve", "approve"]}),
                "/payload/decisions",
            ),
            (
                "hitl_escalation",
                json!({"reason": "r", "decisions": ["approve"], "expiresInSeconds": 1}),
                "/payload/expiresInSeconds",
            ),
            ("hitl_resolved", json!({}), "/payload"),
            (
                "hitl_resolved",
                json!({"escalationId": "00000000000000000000000000000000", "decision": "approve", "subjectHash": ""}),
                "/payload/escalationId",
            ),
            (
                "hitl_resolved",
                json!({"escalationId": Uuid::nil(), "decision": "approve", "subjectHash": "AB".repeat(32)}),
                "/payload/subjectHash",
            ),
            ("session_ended", json!({}), "/type"),
            ("custom_", json!({}), "/type"),
        ] {
            assert_eq!(outcome(kind, payload).unwrap_err().pointer, pointer, "{kind}");
        }
    }
}
