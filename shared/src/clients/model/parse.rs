//! Parser of events.
//!
//! It is tolerant, because servers implement the API to different degrees: `tolerance_tests` lists
//! the deviations. A field that is missing has a default, and an unknown event is
//! [`ModelEvent::Ignored`].

use serde_json::Value;

use super::{ContentPart, IncompleteReason, ModelAnnotation, ModelEvent, OutputItem, ReasoningItem, Usage};

/// The data of an event is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidEvent;

impl ModelEvent {
    /// Parses an event. `name` is the event's name, for servers that leave out `type` in its data.
    ///
    /// # Errors
    /// Fails if the data is not JSON. To ignore it could lose a part of the answer.
    pub(super) fn parse(name: &str, data: &str) -> Result<Self, InvalidEvent> {
        // The last event of OpenAI's older APIs, which some servers send here too.
        if data.trim() == "[DONE]" || data.is_empty() {
            return Ok(Self::Ignored);
        }
        let mut event: Value = serde_json::from_str(data).map_err(|_| InvalidEvent)?;
        let kind = take(&mut event, "type");
        let kind = kind.as_str().unwrap_or(name);
        let index = number(&event["output_index"]).unwrap_or_default();
        let part = number(&event["content_index"]).unwrap_or_default();
        let summary_part = number(&event["summary_index"]).unwrap_or_default();
        let mut text = |field: &str| string(take(&mut event, field));
        Ok(match kind {
            "response.created" => Self::ResponseCreated,
            "response.output_item.added" => {
                Self::OutputItemAdded { index, item: OutputItem::from_json(take(&mut event, "item")) }
            }
            "response.output_item.done" => {
                Self::OutputItemDone { index, item: OutputItem::from_json(take(&mut event, "item")) }
            }
            "response.content_part.added" => Self::ContentPartAdded {
                index,
                part,
                content: ContentPart::from_json(take(&mut event, "part")),
            },
            "response.content_part.done" => Self::ContentPartDone {
                index,
                part,
                content: ContentPart::from_json(take(&mut event, "part")),
            },
            "response.output_text.delta" => Self::TextDelta { index, part, delta: text("delta") },
            "response.output_text.done" => Self::TextDone { index, part, text: text("text") },
            "response.output_text.annotation.added" => Self::AnnotationAdded {
                index,
                part,
                annotation: ModelAnnotation::from_json(take(&mut event, "annotation")),
            },
            "response.refusal.delta" => Self::RefusalDelta { index, part, delta: text("delta") },
            "response.refusal.done" => Self::RefusalDone { index, part, refusal: text("refusal") },
            "response.reasoning_summary_part.added" => {
                Self::ReasoningSummaryPartAdded { index, part: summary_part }
            }
            "response.reasoning_summary_part.done" => Self::ReasoningSummaryPartDone {
                index,
                part: summary_part,
                text: string(take(&mut take(&mut event, "part"), "text")),
            },
            "response.reasoning_summary_text.delta" => {
                Self::ReasoningSummaryTextDelta { index, part: summary_part, delta: text("delta") }
            }
            "response.reasoning_summary_text.done" => {
                Self::ReasoningSummaryTextDone { index, part: summary_part, text: text("text") }
            }
            "response.reasoning_text.delta" => Self::ReasoningTextDelta { index, part, delta: text("delta") },
            "response.reasoning_text.done" => Self::ReasoningTextDone { index, part, text: text("text") },
            "response.function_call_arguments.delta" => {
                Self::FunctionCallArgumentsDelta { index, delta: text("delta") }
            }
            "response.function_call_arguments.done" => {
                Self::FunctionCallArgumentsDone { index, arguments: text("arguments") }
            }
            "response.completed" | "response.done" => {
                let (usage, output) = usage_and_output(&mut event);
                Self::Completed { usage, output }
            }
            "response.incomplete" => {
                let reason = &event["response"]["incomplete_details"]["reason"];
                let reason = IncompleteReason::from_json(reason);
                let (usage, output) = usage_and_output(&mut event);
                Self::Incomplete { reason, usage, output }
            }
            "response.failed" => {
                let (usage, _) = usage_and_output(&mut event);
                let (code, message) = code_and_message(take(&mut take(&mut event, "response"), "error"));
                Self::Failed { code, message, usage }
            }
            "error" => {
                // OpenAI's types describe the flat shape, and its servers send the nested one.
                let nested = take(&mut event, "error");
                let (code, message) = code_and_message(if nested.is_object() { nested } else { event });
                Self::Error { code, message }
            }
            _ => Self::Ignored,
        })
    }
}

impl OutputItem {
    fn from_json(mut item: Value) -> Self {
        let kind = string(take(&mut item, "type"));
        match kind.as_str() {
            "message" => Self::Message { content: list(take(&mut item, "content"), ContentPart::from_json) },
            "reasoning" => Self::Reasoning(ReasoningItem {
                summary: list(take(&mut item, "summary"), |mut part| string(take(&mut part, "text"))),
                content: list(take(&mut item, "content"), |mut part| string(take(&mut part, "text"))),
                encrypted_content: Some(string(take(&mut item, "encrypted_content")))
                    .filter(|content| !content.is_empty()),
            }),
            "function_call" => Self::FunctionCall {
                call_id: string(take(&mut item, "call_id")),
                name: string(take(&mut item, "name")),
                arguments: string(take(&mut item, "arguments")),
            },
            _ => Self::Other { kind },
        }
    }
}

impl ContentPart {
    fn from_json(mut part: Value) -> Self {
        match part["type"].as_str() {
            Some("output_text" | "text") => Self::Text {
                text: string(take(&mut part, "text")),
                annotations: list(take(&mut part, "annotations"), ModelAnnotation::from_json),
            },
            Some("refusal") => Self::Refusal { refusal: string(take(&mut part, "refusal")) },
            _ => Self::Other,
        }
    }
}

impl ModelAnnotation {
    fn from_json(mut annotation: Value) -> Self {
        let end_index = number(&annotation["end_index"]);
        let index = number(&annotation["index"]);
        let kind = take(&mut annotation, "type");
        let mut text =
            |field: &str| Some(string(take(&mut annotation, field))).filter(|text| !text.is_empty());
        match kind.as_str() {
            Some("url_citation") => match text("url") {
                Some(url) => Self::UrlCitation { url, title: text("title"), end_index },
                None => Self::Other,
            },
            Some("file_citation" | "container_file_citation" | "file_path") => match text("file_id") {
                Some(file_id) => {
                    Self::FileCitation { file_id, filename: text("filename"), index: end_index.or(index) }
                }
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl IncompleteReason {
    fn from_json(reason: &Value) -> Self {
        match reason.as_str() {
            Some("max_output_tokens" | "max_tokens" | "length") => Self::MaxOutputTokens,
            Some("content_filter") => Self::ContentFilter,
            _ => Self::Other,
        }
    }
}

/// Takes the output out of a terminal event.
fn usage_and_output(event: &mut Value) -> (Option<Usage>, Vec<OutputItem>) {
    let output = event.get_mut("response").map(|response| take(response, "output"));
    let output = list(output.unwrap_or_default(), OutputItem::from_json);
    let usage = &event["response"]["usage"];
    let count = |value: &Value| number(value).unwrap_or_default();
    let usage = usage.is_object().then(|| Usage {
        input_tokens: count(&usage["input_tokens"]),
        cached_tokens: count(&usage["input_tokens_details"]["cached_tokens"]),
        output_tokens: count(&usage["output_tokens"]),
        reasoning_tokens: count(&usage["output_tokens_details"]["reasoning_tokens"]),
    });
    (usage, output)
}

fn code_and_message(mut error: Value) -> (Option<String>, Option<String>) {
    // Servers other than OpenAI's put the code into `type`.
    let code = [take(&mut error, "code"), take(&mut error, "type")].into_iter().map(string);
    let message = string(take(&mut error, "message"));
    (code.into_iter().find(|code| !code.is_empty()), Some(message).filter(|text| !text.is_empty()))
}

/// Takes a field out of a value, and leaves `null` in its place.
fn take(value: &mut Value, field: &str) -> Value {
    value.get_mut(field).map(Value::take).unwrap_or_default()
}

fn list<T>(value: Value, read: impl FnMut(Value) -> T) -> Vec<T> {
    match value {
        Value::Array(values) => values.into_iter().map(read).collect(),
        _ => Vec::new(),
    }
}

/// Returns a text, without U+0000, which PostgreSQL cannot store.
fn string(value: Value) -> String {
    match value {
        Value::String(text) if text.contains('\0') => text.replace('\0', ""),
        Value::String(text) => text,
        _ => String::new(),
    }
}

/// Returns a position or a count. Some servers send counts as doubles.
fn number(value: &Value) -> Option<u64> {
    let double = || value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64);
    value.as_u64().or_else(double)
}
