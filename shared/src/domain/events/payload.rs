//! Event types that a frontend may record, and validation of their payloads.
//!
//! The payload of a known type is checked field by field. Unknown fields are rejected, since most
//! are spelling mistakes. Additional data of an application goes into `data`, or into an event type
//! of its own, `custom_*`.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    domain::model::{
        escalation::{Answer, Comment, Decision, SubjectHash},
        session::{DeviceLabel, SessionTitle},
    },
    error::{FieldError, pointer},
    platform::{parse::StrictUuid, string_enum::words},
};

/// Non-empty text of at most `MAX` characters.
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

/// An id issued by ChatKit, with only characters that are safe in a URL path.
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

/// Declares the payload of an event type. The fields are only validated and never read, since the
/// payload is recorded as it was sent.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        #[allow(dead_code)] // only validated
        struct $name { $($(#[$attr])* $field: $type,)* }
    };
}

payload! {
    ButtonClick { action: BoundedText<200>, label: Option<BoundedText<200>>, widget_id: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    FormSubmit { form: BoundedText<200>, values: Map<String, Value>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The agent requested a tool call.
    ToolCall { name: BoundedText<200>, call_id: Option<BoundedText<200>>, arguments: Option<Map<String, Value>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    ToolFailed { name: BoundedText<200>, message: BoundedText<2000>, call_id: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The user switched to another thread; `null` is a new thread without an id.
    ThreadChanged { thread_id: Option<ChatKitId>, }
}
payload! {
    /// The user rated a response.
    Feedback { rating: Rating, comment: Option<BoundedText<2000>>, item_id: Option<ChatKitId>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// An error in the frontend.
    Failed { message: BoundedText<2000>, name: Option<BoundedText<200>>, thread_id: Option<ChatKitId>, data: Option<Map<String, Value>>, }
}
payload! {
    /// The session moves to another agent.
    Handover { agent_id: crate::domain::model::session::AgentId, from_agent_id: Option<crate::domain::model::session::AgentId>, reason: Option<BoundedText<2000>>, summary: Option<BoundedText<8000>>, }
}
payload! {
    /// The frontend requests a human decision.
    HitlEscalation { reason: BoundedText<2000>, decisions: Decisions, schema: Option<Map<String, Value>>, expires_in_seconds: Option<Expiry>, }
}
payload! {
    /// A person decided an escalation.
    HitlResolved { escalation_id: StrictUuid, decision: Decision, answer: Option<Answer>, comment: Option<Comment>, subject_hash: SubjectHash, }
}

payload! {
    /// The labels of the session change; null removes one.
    SessionUpdated { title: Option<SessionTitle>, device_label: Option<DeviceLabel>, }
}

words! {
    enum Rating {
        Positive = "positive",
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

/// Validates an event's type and its payload. Pointers are relative to the event.
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
        "session_updated" if payload.is_empty() => {
            Err(FieldError::at("/payload", "must have a title or a deviceLabel"))
        }
        "session_updated" => validate_as::<SessionUpdated>(payload),
        _ if is_custom(kind) => Ok(()),
        _ => Err(FieldError::at("/type", "is not a known type; your own types begin with custom_")),
    }
}

/// Returns whether this is `custom_` and lower-case letters, digits or underscores, 63 characters
/// at most.
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

    fn validate_json(kind: &str, payload: Value) -> Result<(), FieldError> {
        validate(kind, payload.as_object().unwrap())
    }

    #[test]
    fn valid_payloads_are_accepted() {
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
            ("session_updated", json!({"title": "Invoice 42", "deviceLabel": null})),
            ("session_updated", json!({"deviceLabel": "é".repeat(100)})),
            ("custom_anything", json!({"free": ["form"]})),
        ] {
            assert_eq!(validate_json(kind, payload), Ok(()), "{kind}");
        }
    }

    #[test]
    fn invalid_payloads_report_a_pointer() {
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
            ("session_updated", json!({}), "/payload"),
            ("session_updated", json!({"title": ""}), "/payload/title"),
            ("session_updated", json!({"title": "é".repeat(201)}), "/payload/title"),
            ("session_updated", json!({"deviceLabel": "é".repeat(101)}), "/payload/deviceLabel"),
            ("session_updated", json!({"name": "x"}), "/payload/name"),
            ("session_ended", json!({}), "/type"),
            ("custom_", json!({}), "/type"),
        ] {
            assert_eq!(validate_json(kind, payload).unwrap_err().pointer, pointer, "{kind}");
        }
    }
}
