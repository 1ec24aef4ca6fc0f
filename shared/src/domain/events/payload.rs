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
struct Text<const MAX: usize>;

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
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
struct UpstreamId;

impl TryFrom<String> for UpstreamId {
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
    ButtonClick { action: Text<200>, label: Option<Text<200>>, widget_id: Option<Text<200>>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A form that was sent.
    FormSubmit { form: Text<200>, values: Map<String, Value>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A tool that the agent asked for.
    ToolCall { name: Text<200>, call_id: Option<Text<200>>, arguments: Option<Map<String, Value>>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// A tool that failed.
    ToolFailed { name: Text<200>, message: Text<2000>, call_id: Option<Text<200>>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The conversation that the user is in now; `null` is a new one that has no id yet.
    ThreadChanged { thread_id: Option<UpstreamId>, }
}
payload! {
    /// What the user thought of an answer.
    Feedback { rating: Rating, comment: Option<Text<2000>>, item_id: Option<UpstreamId>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// Something that went wrong in the frontend.
    Failed { message: Text<2000>, name: Option<Text<200>>, thread_id: Option<UpstreamId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The session goes to another agent.
    Handover { agent_id: crate::domain::model::session::AgentId, from_agent_id: Option<crate::domain::model::session::AgentId>, reason: Option<Text<2000>>, summary: Option<Text<8000>>, }
}
payload! {
    /// A person is needed.
    HitlEscalation { reason: Text<2000>, decisions: Decisions, schema: Option<Map<String, Value>>, expires_in_seconds: Option<Expiry>, }
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
pub(super) fn check(kind: &str, payload: &Map<String, Value>) -> Result<(), FieldError> {
    match kind {
        "button_click" => matches::<ButtonClick>(payload),
        "form_submit" => matches::<FormSubmit>(payload),
        "tool_call" => matches::<ToolCall>(payload),
        "tool_failed" => matches::<ToolFailed>(payload),
        "thread_changed" => matches::<ThreadChanged>(payload),
        "feedback" => matches::<Feedback>(payload),
        "error" => matches::<Failed>(payload),
        "handover" => matches::<Handover>(payload),
        "hitl_escalation" => matches::<HitlEscalation>(payload),
        "hitl_resolved" => matches::<HitlResolved>(payload),
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

fn matches<T: DeserializeOwned>(payload: &Map<String, Value>) -> Result<(), FieldError> {
    serde_path_to_error::deserialize::<_, T>(payload)
        .map(|_| ())
        .map_err(|error| FieldError::parsing(format!("/payload{}", pointer(error.path())), error.inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn verdict(kind: &str, payload: Value) -> Result<(), FieldError> {
        check(kind, payload.as_object().unwrap())
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
            assert_eq!(verdict(kind, payload), Ok(()), "{kind}");
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
            assert_eq!(verdict(kind, payload).unwrap_err().pointer, pointer, "{kind}");
        }
    }
}
