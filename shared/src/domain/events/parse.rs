//! Parses and validates the body of `POST /chatkit/sessions/{id}/events`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::payload;
use crate::{
    error::{Error, FieldError, pointer},
    platform::parse::{StrictUuid, Timestamp},
};

/// Maximum number of events in one request.
pub const MAX_EVENTS: usize = 100;

/// Maximum size of a payload as compact JSON, in bytes.
const MAX_PAYLOAD: usize = 16 * 1024;

#[derive(Debug, Serialize)]
pub struct NewEvent {
    id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    payload: Map<String, Value>,
    occurred_at: Option<Timestamp>,
    /// Id of the escalation that this event opens, generated here.
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_id: Option<Uuid>,
}

impl NewEvent {
    pub(super) fn is_decision(&self) -> bool {
        self.kind == "hitl_resolved"
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEvent {
    #[serde(deserialize_with = "StrictUuid::field")]
    id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Map<String, Value>,
    occurred_at: Option<EventTime>,
}

/// Event times are limited to the years 1970 to 9998. PostgreSQL has no year 0, and a clock further
/// off than that is broken.
#[derive(Deserialize)]
#[serde(try_from = "Timestamp")]
struct EventTime(Timestamp);

impl TryFrom<Timestamp> for EventTime {
    type Error = &'static str;

    fn try_from(time: Timestamp) -> Result<Self, Self::Error> {
        /// 9999-01-01, in seconds since 1970.
        const END: i64 = 253_370_764_800;
        (0..END)
            .contains(&time.as_second())
            .then_some(Self(time))
            .ok_or("must lie between the years 1970 and 9998")
    }
}

/// Parses one event or an array of events, and reports all errors at once.
///
/// # Errors
/// Returns `invalid_request` with a pointer to each error.
pub fn parse(body: Value) -> Result<Vec<NewEvent>, Error> {
    let parsed: Vec<_> = match body {
        Value::Array(events) if events.is_empty() || events.len() > MAX_EVENTS => {
            let detail = format!("an array must hold 1 to {MAX_EVENTS} events, not {}", events.len());
            return Err(Error::invalid(vec![FieldError::at("", detail)]));
        }
        Value::Array(events) => {
            events.into_iter().enumerate().map(|(i, event)| parse_event(event, &format!("/{i}"))).collect()
        }
        event => vec![parse_event(event, "")],
    };
    let mut events = Vec::with_capacity(parsed.len());
    let mut mistakes = Vec::new();
    for outcome in parsed {
        match outcome {
            Ok(event) => events.push(event),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() { Ok(events) } else { Err(Error::invalid(mistakes)) }
}

fn parse_event(event: Value, at: &str) -> Result<NewEvent, FieldError> {
    // A derived `Deserialize` would also accept an array with the fields in order.
    let Value::Object(event) = event else { return Err(FieldError::at(at, "must be an object")) };
    let RawEvent { id, kind, payload, occurred_at } = serde_path_to_error::deserialize(event)
        .map_err(|error| FieldError::parsing(format!("{at}{}", pointer(error.path())), error.inner()))?;
    payload::validate(&kind, &payload)
        .map_err(|error| FieldError::at(format!("{at}{}", error.pointer), error.detail))?;
    let size = serde_json::to_vec(&payload).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_PAYLOAD {
        let detail = format!("has {size} bytes; at most {MAX_PAYLOAD} are kept");
        return Err(FieldError::at(format!("{at}/payload"), detail));
    }
    let escalation_id = (kind == "hitl_escalation").then(Uuid::now_v7);
    let occurred_at = occurred_at.map(|EventTime(time)| time);
    Ok(NewEvent { id, kind, payload, occurred_at, escalation_id })
}
