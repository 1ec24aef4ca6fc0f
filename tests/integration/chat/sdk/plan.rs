//! Generated messages of users and answers of the model.

use fastrand::Rng;
use local_stack::model::{
    Citation, Delta, End, ErrorShape, Fault, IncompleteReason, Part, Quirk, Script, Step,
};
use serde_json::{Map, Value, json};

/// The differences from OpenAI that groups of conversations are held with.
pub const SERVERS: &[&[Quirk]] = &[
    &[],
    &[Quirk::NoIds],
    &[Quirk::FakeIds],
    &[Quirk::NoAnnotationEvents],
    &[Quirk::NoAnnotations],
    &[Quirk::NoSequenceNumbers, Quirk::DoneMarker],
    &[Quirk::UnknownEvents, Quirk::UnknownItems],
    &[Quirk::NoEventLines, Quirk::KeepAliveComments],
    &[Quirk::NoReasoningEvents],
    &[Quirk::NoUsage, Quirk::Stateless],
    &[Quirk::CarriageReturns, Quirk::SplitChunks],
    &[Quirk::FakeIds, Quirk::NoAnnotationEvents, Quirk::UnknownEvents, Quirk::NoUsage, Quirk::DoneMarker],
];

/// Texts that a protocol of lines, JSON or a database could damage.
const WORDS: &[&str] = &[
    "invoice",
    "42",
    "Zürich",
    "支払い",
    "🧾",
    "👩‍💼",
    "\"quoted\"",
    "back\\slash",
    "line\nbreak",
    "two\n\nbreaks",
    "data: x",
    "tab\there",
    "</context>",
    "\u{2028}",
    "e\u{301}",
    "{\"a\":1}",
    "\u{7f}",
    "null",
];

/// Returns a text of up to `most` words.
pub fn text(rng: &mut Rng, most: usize) -> String {
    let words: Vec<_> = (0..rng.usize(1..=most)).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    words.join(" ")
}

/// Returns the input of a message that contains `marker`.
pub fn message(rng: &mut Rng, marker: &str) -> Value {
    let mut content = vec![json!({ "type": "input_text", "text": format!("{marker} {}", text(rng, 6)) })];
    for _ in 0..rng.usize(..3) {
        let part = if rng.bool() { tag(rng) } else { json!({ "type": "input_text", "text": text(rng, 4) }) };
        content.insert(rng.usize(..=content.len()), part);
    }
    let mut input = json!({ "content": content, "attachments": [], "inference_options": {} });
    if rng.u8(..4) == 0 {
        input["quoted_text"] = text(rng, 8).into();
    }
    if rng.u8(..4) == 0 {
        input["inference_options"]["model"] = "large".into();
    }
    if rng.u8(..4) == 0 {
        input["inference_options"]["tool_choice"] = json!({ "id": "search" });
    }
    input
}

fn tag(rng: &mut Rng) -> Value {
    let mut tag = json!({
        "type": "input_tag",
        "id": format!("supplier-{}", rng.u16(..)),
        // A blank text is rejected.
        "text": format!("Supplier {}", text(rng, 2)),
        "data": free_json(rng, 0),
        "interactive": rng.bool(),
    });
    if rng.bool() {
        tag["group"] = "Suppliers".into();
    }
    tag
}

/// Returns an object of any content.
pub fn free_json(rng: &mut Rng, depth: u8) -> Value {
    let mut object = Map::new();
    for _ in 0..rng.usize(..4) {
        let value = match rng.u8(..7) {
            0 => Value::Null,
            1 => rng.bool().into(),
            2 => rng.i32(..).into(),
            3 => json!(f64::from(rng.i16(..)) + 0.5),
            4 => json!([text(rng, 2), null, 7]),
            5 if depth < 3 => free_json(rng, depth + 1),
            _ => text(rng, 3).into(),
        };
        object.insert(text(rng, 1), value);
    }
    Value::Object(object)
}

/// A part of an expected message: its text, and the positions of its annotations.
pub type ExpectedPart = (String, Vec<u64>);

/// An answer of the model and what must become of it.
pub struct Plan {
    /// `None` if the model's server rejects the request.
    pub script: Option<Script>,
    pub fault: Option<Fault>,
    /// The messages of the answer. `None` if it ends somewhere within them.
    pub messages: Option<Vec<Vec<ExpectedPart>>>,
    /// The thoughts of the answer, under the same condition.
    pub thoughts: Vec<String>,
    /// Whether the stream ends with an error.
    pub has_error: bool,
    /// Whether the thread gets a mark.
    pub has_mark: bool,
}

/// Returns a plan. In about a third of the plans the answer is broken.
pub fn answer(rng: &mut Rng) -> Plan {
    let mut plan = steps(rng);
    let has_text = plan.messages.as_ref().is_some_and(|messages| !messages.is_empty());
    match rng.u8(..24) {
        0..=13 => (plan.has_error, plan.has_mark) = (!has_text, !has_text),
        // The client of the model repeats a request that was not answered.
        14 | 15 => {
            (plan.has_error, plan.has_mark) = (!has_text, !has_text);
            plan.fault = Some(passing_fault(rng).times(1));
        }
        16 | 17 => {
            let reasons = [IncompleteReason::MaxOutputTokens, IncompleteReason::ContentFilter];
            plan.script = plan.script.map(|script| script.end(End::Incomplete(reasons[rng.usize(..2)])));
            (plan.has_error, plan.has_mark) = (false, true);
        }
        18 => plan = Plan { script: None, fault: Some(lasting_fault(rng)), ..broken(plan) },
        19 => {
            let fault = Fault::end_after(rng.usize(..12), end(rng)).times(1);
            plan = Plan { fault: Some(fault), ..broken(plan) };
        }
        _ => {
            let script = plan.script.take().map(|script| script.end(end(rng)));
            plan = Plan { script, ..broken(plan) };
        }
    }
    plan
}

fn broken(plan: Plan) -> Plan {
    Plan { messages: None, has_error: true, has_mark: true, ..plan }
}

/// Returns the items of an answer: reasoning, messages and calls in any order.
fn steps(rng: &mut Rng) -> Plan {
    let mut script = Script::new();
    let (mut messages, mut thoughts) = (Vec::new(), Vec::new());
    for _ in 0..rng.usize(1..=4) {
        match rng.u8(..8) {
            0..=2 => {
                let parts: Vec<_> = (0..rng.usize(..4)).map(|_| text(rng, 12)).collect();
                thoughts.extend(parts.iter().cloned());
                script = script.step(Step::Reasoning(parts));
            }
            3 => script = script.function_call("pay", &free_json(rng, 2)),
            _ => {
                let parts: Vec<_> = (0..rng.usize(1..=3)).map(|_| part(rng)).collect();
                let (parts, expected): (Vec<_>, Vec<ExpectedPart>) = parts.into_iter().unzip();
                script = script.step(Step::Message(parts));
                // A message without a visible text is removed.
                if expected.iter().any(|(text, _)| !text.trim().is_empty()) {
                    messages.push(expected);
                }
            }
        }
    }
    let messages = Some(messages);
    Plan { script: Some(script), fault: None, messages, thoughts, has_error: false, has_mark: false }
}

fn part(rng: &mut Rng) -> (Part, ExpectedPart) {
    let text = if rng.u8(..8) == 0 { String::new() } else { text(rng, 20) };
    let deltas = deltas(rng, &text);
    if rng.u8(..6) == 0 {
        return (Part::Refusal(deltas), (text, Vec::new()));
    }
    let length = text.chars().count();
    let mut citations = Vec::new();
    let mut indexes = Vec::new();
    for number in 0..rng.usize(..4) {
        let end = rng.usize(..=length);
        citations.push(match rng.u8(..4) {
            0 => Citation::File {
                file_id: format!("file-{number}"),
                filename: format!("{number}.pdf"),
                index: end,
            },
            // A client cannot show an annotation of an unknown type.
            1 => Citation::Raw(json!({ "type": "future_citation", "index": end })),
            _ => {
                let (url, title) = (format!("https://example.com/{number}"), format!("Source {number}"));
                Citation::Url { url, title, start: rng.usize(..=end), end }
            }
        });
        if !matches!(citations.last(), Some(Citation::Raw(_))) {
            indexes.push(end as u64);
        }
    }
    (Part::Text(deltas, citations), (text, indexes))
}

/// Splits a text between any characters.
fn deltas(rng: &mut Rng, text: &str) -> Vec<Delta> {
    let mut deltas: Vec<String> = Vec::new();
    for character in text.chars() {
        match deltas.last_mut() {
            Some(delta) if rng.u8(..5) > 0 => delta.push(character),
            _ => deltas.push(character.into()),
        }
    }
    deltas.into_iter().map(Delta::Text).collect()
}

/// Returns an end that breaks an answer.
fn end(rng: &mut Rng) -> End {
    let codes =
        ["server_error", "rate_limit_exceeded", "insufficient_quota", "invalid_prompt", "unknown_code"];
    let code = codes[rng.usize(..codes.len())].to_owned();
    let message = "The test ends the answer.".to_owned();
    match rng.u8(..6) {
        0 => End::Failed { code, message },
        1 => End::Error { shape: ErrorShape::Flat, code, message, then_failed: rng.bool() },
        2 => End::Error { shape: ErrorShape::Nested, code, message, then_failed: rng.bool() },
        3 => End::Reset,
        4 => End::Disconnect,
        _ => End::Truncated,
    }
}

/// Returns a fault before the stream that a repeat overcomes.
fn passing_fault(rng: &mut Rng) -> Fault {
    match rng.u8(..5) {
        0 => Fault::rate_limited().retry_after_ms("20"),
        1 => Fault::server_error(),
        2 => Fault::overloaded(),
        3 => Fault::html(502),
        _ => Fault::reset(),
    }
}

/// Returns a fault before the stream that a repeat does not overcome.
fn lasting_fault(rng: &mut Rng) -> Fault {
    match rng.u8(..5) {
        0 => Fault::insufficient_quota(),
        1 => Fault::status(400, Some("invalid_value")),
        2 => Fault::status(401, Some("invalid_api_key")),
        3 => Fault::status(404, Some("model_not_found")),
        _ => Fault::response(200, "application/json", "{}"),
    }
}
