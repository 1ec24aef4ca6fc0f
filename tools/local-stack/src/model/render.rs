//! Turns a script into the events of a response.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::ApiError;
use super::items::encrypted_content;
use super::parameters::NewResponse;
use super::script::{Delta, End, Gate, IncompleteReason, Part, Script, Step};
use super::tokens::BYTES_PER_TOKEN;

/// One step of the stream.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Event(Value),
    Pause(Duration),
    Wait(Gate),
}

/// The fate of the connection after the last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// The body ends.
    End,
    Reset,
    Disconnect,
    Hang,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) frames: Vec<Frame>,
    pub(super) close: Close,
    /// The response object after the last event.
    pub(super) response: Value,
    /// The error of a response that is not streamed.
    pub(super) error: Option<ApiError>,
}

/// Replaces the end of a script after a number of deltas.
pub(super) type EarlyEnd = (usize, End);

pub(super) struct Renderer<'a> {
    pub(super) new: &'a NewResponse,
    pub(super) response: Map<String, Value>,
    pub(super) frames: Vec<Frame>,
    pub(super) output: Vec<Value>,
    pub(super) output_index: usize,
    pub(super) pace: Duration,
    pub(super) end: End,
    /// Deltas until the early end.
    pub(super) deltas_left: Option<usize>,
    /// Bytes until the limit of the request.
    pub(super) bytes_left: Option<usize>,
    pub(super) bytes: usize,
    pub(super) reasoning_bytes: usize,
    /// Whether the end was reached inside an item.
    pub(super) stopped: bool,
}

/// Renders the script as the answer to a request. `response` is the object without output.
pub(super) fn render(
    new: &NewResponse,
    response: Map<String, Value>,
    script: &Script,
    early: Option<EarlyEnd>,
) -> Answer {
    let (deltas_left, end) = match early {
        Some((deltas, end)) => (Some(deltas), end),
        None => (None, script.end.clone()),
    };
    let limit = new.max_output_tokens.and_then(|tokens| usize::try_from(tokens).ok());
    let mut renderer = Renderer {
        new,
        response,
        frames: Vec::new(),
        output: Vec::new(),
        output_index: 0,
        pace: script.pace,
        end,
        deltas_left,
        bytes_left: limit.map(|tokens| tokens.saturating_mul(BYTES_PER_TOKEN)),
        bytes: 0,
        reasoning_bytes: 0,
        stopped: deltas_left == Some(0),
    };
    renderer.lifecycle("response.created");
    renderer.lifecycle("response.in_progress");
    if new.overflows {
        return renderer.overflow();
    }
    let last = script.steps.iter().rposition(|step| !matches!(step, Step::Pause(_)));
    for (i, step) in script.steps.iter().enumerate() {
        if renderer.stopped {
            break;
        }
        renderer.step(step, Some(i) == last);
    }
    renderer.finish(script.usage)
}

/// Returns the id of an output item.
fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}{}", Uuid::new_v4().simple(), &Uuid::new_v4().simple().to_string()[..16])
}

impl Renderer<'_> {
    fn step(&mut self, step: &Step, is_last: bool) {
        match step {
            Step::Pause(delta) => self.pause(delta),
            Step::Reasoning(parts) => self.reasoning(parts, is_last),
            Step::Message(parts) => self.message(parts, is_last),
            Step::FunctionCall { call_id, name, arguments } => {
                let call_id = call_id.clone().unwrap_or_else(|| new_id("call"));
                self.function_call(&call_id, name, arguments, is_last);
            }
        }
    }

    fn pause(&mut self, delta: &Delta) {
        match delta {
            Delta::Pause(pause) => self.frames.push(Frame::Pause(*pause)),
            Delta::Wait(gate) => self.frames.push(Frame::Wait(gate.clone())),
            Delta::Text(_) => {}
        }
    }

    fn reasoning(&mut self, parts: &[String], is_last: bool) {
        let id = new_id("rs");
        let mut item = json!({"id": id, "type": "reasoning", "summary": []});
        self.item_added(&item);
        let mut summary = Vec::new();
        let parts = if self.new.summarize_reasoning { parts } else { &[] };
        for (i, part) in parts.iter().enumerate() {
            let (before, at) = (self.bytes, self.place(&id, "summary_index", i));
            let empty = json!({"type": "summary_text", "text": ""});
            self.event("response.reasoning_summary_part.added", &at, json!({"part": empty}));
            let text = self.deltas("response.reasoning_summary_text.delta", &at, &super::script::words(part));
            self.reasoning_bytes += self.bytes - before;
            if self.leaves_open(is_last && i + 1 == parts.len()) {
                return;
            }
            let done = json!({"type": "summary_text", "text": text});
            self.event("response.reasoning_summary_text.done", &at, json!({"text": text}));
            self.event("response.reasoning_summary_part.done", &at, json!({"part": done}));
            summary.push(done);
            if self.stopped {
                break;
            }
        }
        if self.leaves_open(is_last) {
            return;
        }
        item["summary"] = json!(summary);
        if self.new.encrypt_reasoning {
            item["encrypted_content"] = json!(encrypted_content(&id));
        }
        self.item_done(item);
    }

    fn message(&mut self, parts: &[Part], is_last: bool) {
        let id = new_id("msg");
        let mut item =
            json!({"id": id, "type": "message", "role": "assistant", "status": "in_progress", "content": []});
        self.item_added(&item);
        let mut content = Vec::new();
        let mut is_final = is_last;
        for (i, part) in parts.iter().enumerate() {
            let at = self.place(&id, "content_index", i);
            is_final = is_last && i + 1 == parts.len();
            let Some(done) = self.part(part, &at, is_final) else { return };
            content.push(done);
            if self.stopped {
                break;
            }
        }
        item["content"] = json!(content);
        item["status"] = json!(self.item_status(is_final));
        self.item_done(item);
    }

    /// Sends a content part and returns it, or `None` if it stays open.
    fn part(&mut self, part: &Part, at: &Map<String, Value>, is_final: bool) -> Option<Value> {
        let done = match part {
            Part::Text(deltas, citations) => {
                self.event("response.content_part.added", at, json!({"part": text_part("", &[])}));
                let text = self.deltas("response.output_text.delta", at, deltas);
                if self.leaves_open(is_final) {
                    return None;
                }
                let mut annotations = Vec::new();
                // A text that was cut does not reach its citations.
                let citations = if self.stopped { &[] } else { citations.as_slice() };
                for citation in citations {
                    let (index, annotation) = (annotations.len(), citation.to_json());
                    let fields = json!({"annotation_index": index, "annotation": annotation});
                    self.event("response.output_text.annotation.added", at, fields);
                    annotations.push(annotation);
                }
                self.event("response.output_text.done", at, json!({"text": text, "logprobs": []}));
                text_part(&text, &annotations)
            }
            Part::Refusal(deltas) => {
                let empty = json!({"type": "refusal", "refusal": ""});
                self.event("response.content_part.added", at, json!({"part": empty}));
                let refusal = self.deltas("response.refusal.delta", at, deltas);
                if self.leaves_open(is_final) {
                    return None;
                }
                self.event("response.refusal.done", at, json!({"refusal": refusal}));
                json!({"type": "refusal", "refusal": refusal})
            }
        };
        self.event("response.content_part.done", at, json!({"part": done}));
        Some(done)
    }

    fn function_call(&mut self, call_id: &str, name: &str, arguments: &[Delta], is_last: bool) {
        let id = new_id("fc");
        let mut item = json!({
            "id": id, "type": "function_call", "status": "in_progress", "call_id": call_id, "name": name,
            "arguments": "",
        });
        self.item_added(&item);
        let mut at = Map::new();
        at.insert("item_id".to_owned(), json!(id));
        at.insert("output_index".to_owned(), json!(self.output_index));
        let arguments = self.deltas("response.function_call_arguments.delta", &at, arguments);
        if self.leaves_open(is_last) {
            return;
        }
        self.event("response.function_call_arguments.done", &at, json!({"arguments": arguments}));
        item["arguments"] = json!(arguments);
        item["status"] = json!(self.item_status(is_last));
        self.item_done(item);
    }

    /// Sends the deltas until the end is reached, and returns their text.
    fn deltas(&mut self, kind: &str, at: &Map<String, Value>, deltas: &[Delta]) -> String {
        let mut whole = String::new();
        for delta in deltas {
            if self.stopped {
                break;
            }
            let Delta::Text(text) = delta else {
                self.pause(delta);
                continue;
            };
            if !self.pace.is_zero() {
                self.frames.push(Frame::Pause(self.pace));
            }
            let text = self.within_limit(text);
            if text.is_empty() {
                continue;
            }
            self.deltas_left = self.deltas_left.map(|left| left.saturating_sub(1));
            whole.push_str(text);
            let mut fields = json!({"delta": text});
            if kind == "response.output_text.delta" {
                fields["logprobs"] = json!([]);
            }
            if self.new.obfuscate {
                fields["obfuscation"] = json!(padding(text.len()));
            }
            self.event(kind, at, fields);
            self.stopped |= self.deltas_left == Some(0);
        }
        whole
    }

    /// Returns the part of a text within the limit. If it is not the whole text, the response is
    /// incomplete.
    fn within_limit<'t>(&mut self, text: &'t str) -> &'t str {
        let mut length = text.len();
        if let Some(left) = &mut self.bytes_left {
            if *left < length {
                length = (0..=*left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
                self.end = End::Incomplete(IncompleteReason::MaxOutputTokens);
                self.stopped = true;
            }
            *left -= length;
        }
        self.bytes += length;
        &text[..length]
    }

    /// Whether an item stays open: the response ends here, and its end does not finish items.
    fn leaves_open(&self, is_final: bool) -> bool {
        (is_final || self.stopped) && !matches!(self.end, End::Completed | End::Incomplete(_))
    }

    fn item_status(&self, is_final: bool) -> &'static str {
        let is_incomplete = (is_final || self.stopped) && matches!(self.end, End::Incomplete(_));
        if is_incomplete { "incomplete" } else { "completed" }
    }

    fn place(&self, id: &str, index_name: &str, index: usize) -> Map<String, Value> {
        let mut at = Map::new();
        at.insert("item_id".to_owned(), json!(id));
        at.insert("output_index".to_owned(), json!(self.output_index));
        at.insert(index_name.to_owned(), json!(index));
        at
    }

    fn item_added(&mut self, item: &Value) {
        let index = self.output_index;
        self.event("response.output_item.added", &Map::new(), json!({"output_index": index, "item": item}));
    }

    fn item_done(&mut self, item: Value) {
        let index = self.output_index;
        self.event("response.output_item.done", &Map::new(), json!({"output_index": index, "item": item}));
        self.output.push(item);
        self.output_index += 1;
    }

    pub(super) fn event(&mut self, kind: &str, at: &Map<String, Value>, fields: Value) {
        let mut event = at.clone();
        event.insert("type".to_owned(), json!(kind));
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.frames.push(Frame::Event(Value::Object(event)));
    }

    /// Sends an event with the response as it is now.
    pub(super) fn lifecycle(&mut self, kind: &str) {
        self.event(kind, &Map::new(), json!({"response": self.response}));
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.response.insert(name.to_owned(), value);
    }
}

fn text_part(text: &str, annotations: &[Value]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []})
}

/// Pads a delta to a multiple of 16 bytes.
fn padding(length: usize) -> String {
    const LETTERS: &str = "aK7dP2mXq9ZrT4wB";
    LETTERS[..LETTERS.len() - length % LETTERS.len()].to_owned()
}
