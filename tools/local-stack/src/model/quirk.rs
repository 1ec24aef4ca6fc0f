//! Differences of other servers that speak the Responses API.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::render::{Answer, Frame};

/// The id that some adapters give to every item.
const FAKE_ID: &str = "__fake_id__";

/// The fields with parts of the answer. Others repeat the request.
const CHANGED_CHILDREN: [&str; 5] = ["response", "output", "item", "content", "part"];

/// A difference from OpenAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quirk {
    /// Output items and the events about them do not have ids.
    NoIds,
    /// The response and every output item have the same id.
    FakeIds,
    /// Annotations are only in the finished text, and have no events.
    NoAnnotationEvents,
    /// Texts do not have the field `annotations`.
    NoAnnotations,
    NoSequenceNumbers,
    /// The stream ends with `data: [DONE]`.
    DoneMarker,
    /// Events of unknown types arrive between the others.
    UnknownEvents,
    /// The output contains an item of an unknown type.
    UnknownItems,
    /// Frames consist of `data:` lines only.
    NoEventLines,
    /// Reasoning items arrive without events for their summaries.
    NoReasoningEvents,
    NoUsage,
    /// `store: true` and `previous_response_id` are rejected.
    Stateless,
    /// Comments arrive between the events.
    KeepAliveComments,
    /// Lines end with CR and LF.
    CarriageReturns,
    /// Frames arrive in chunks of a few bytes.
    SplitChunks,
}

/// The quirks of a server.
pub(super) type Quirks = BTreeSet<Quirk>;

/// Applies the quirks to an answer, and numbers its events.
pub(super) fn apply(quirks: &Quirks, answer: &mut Answer) {
    let has = |quirk| quirks.contains(&quirk);
    if has(Quirk::UnknownItems) {
        add_unknown_item(answer);
    }
    let mut frames = Vec::new();
    let mut number = 0;
    for frame in std::mem::take(&mut answer.frames) {
        let Frame::Event(mut event) = frame else {
            frames.push(frame);
            continue;
        };
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let is_dropped = (has(Quirk::NoAnnotationEvents) || has(Quirk::NoAnnotations))
            && kind == "response.output_text.annotation.added"
            || has(Quirk::NoReasoningEvents) && kind.starts_with("response.reasoning");
        if is_dropped {
            continue;
        }
        change(quirks, &mut event);
        let mut push = |mut event: Value| {
            if !has(Quirk::NoSequenceNumbers) {
                event["sequence_number"] = json!(number);
            }
            number += 1;
            frames.push(Frame::Event(event));
        };
        push(event);
        if has(Quirk::UnknownEvents) && kind != "response.completed" {
            push(json!({"type": "response.future_feature.delta", "delta": {"text": "not known yet"}}));
        }
    }
    answer.frames = frames;
    change(quirks, &mut answer.response);
}

/// Changes an event or a response object.
fn change(quirks: &Quirks, value: &mut Value) {
    let Value::Object(map) = value else { return };
    if quirks.contains(&Quirk::NoUsage) {
        map.remove("usage");
    }
    if quirks.contains(&Quirk::NoAnnotations) {
        map.remove("annotations");
    }
    change_ids(quirks, map);
    for name in CHANGED_CHILDREN {
        match map.get_mut(name) {
            Some(Value::Array(children)) => children.iter_mut().for_each(|child| change(quirks, child)),
            Some(child) => change(quirks, child),
            None => {}
        }
    }
}

fn change_ids(quirks: &Quirks, map: &mut Map<String, Value>) {
    let is_response = map.get("object").is_some_and(|object| object == "response");
    for name in ["id", "item_id"] {
        if quirks.contains(&Quirk::NoIds) && !is_response {
            map.remove(name);
        }
        if quirks.contains(&Quirk::FakeIds) && map.contains_key(name) {
            map.insert(name.to_owned(), json!(FAKE_ID));
        }
    }
}

/// Adds an item before the final event.
fn add_unknown_item(answer: &mut Answer) {
    let Some(output) = answer.response["output"].as_array_mut() else { return };
    let (index, item) = (output.len(), json!({"id": "fut_1", "type": "future_call", "status": "completed"}));
    output.push(item.clone());
    let output = answer.response["output"].clone();
    let Some(Frame::Event(last)) = answer.frames.last_mut() else { return };
    if last["response"].is_object() {
        last["response"]["output"] = output;
    }
    let at = answer.frames.len() - 1;
    for kind in ["response.output_item.done", "response.output_item.added"] {
        let event = json!({"type": kind, "output_index": index, "item": item});
        answer.frames.insert(at, Frame::Event(event));
    }
}
