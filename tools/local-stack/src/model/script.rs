//! Scripted answers of the model.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

/// One answer: output items in order, and an end.
///
/// If the end is [`End::Completed`], every item is finished. If it is [`End::Incomplete`], the last
/// item is finished with the status `incomplete`. After any other end, the last item stays open.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
    pub(super) usage: Option<Usage>,
    pub(super) pace: Duration,
    pub(super) condition: Option<String>,
}

/// One output item, or a pause between two.
#[derive(Debug, Clone)]
pub enum Step {
    /// A reasoning item with the parts of its summary. A request that asks for no summary gets an
    /// item without one.
    Reasoning(Vec<String>),
    Message(Vec<Part>),
    /// `call_id` is random if it is `None`.
    FunctionCall {
        call_id: Option<String>,
        name: String,
        arguments: Vec<Delta>,
    },
    Pause(Delta),
}

/// A content part of a message.
#[derive(Debug, Clone)]
pub enum Part {
    Text(Vec<Delta>, Vec<Citation>),
    Refusal(Vec<Delta>),
}

/// A part of a text, or a pause before the next one.
#[derive(Debug, Clone)]
pub enum Delta {
    Text(String),
    Pause(Duration),
    /// Waits until the gate is opened.
    Wait(Gate),
}

/// An annotation of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Citation {
    Url {
        url: String,
        title: String,
        start: usize,
        end: usize,
    },
    File {
        file_id: String,
        filename: String,
        index: usize,
    },
    /// Any other annotation.
    Raw(Value),
}

/// The ways in which a scripted response ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Completed,
    Incomplete(IncompleteReason),
    /// `response.failed`.
    Failed {
        code: String,
        message: String,
    },
    /// An event `error`. OpenAI sends `response.failed` after it, other servers do not.
    Error {
        shape: ErrorShape,
        code: String,
        message: String,
        then_failed: bool,
    },
    /// The connection is reset.
    Reset,
    /// The connection closes in the middle of the body.
    Disconnect,
    /// The body ends without a final event.
    Truncated,
    /// The connection stays open without another byte.
    Hang,
}

/// The two shapes of the event `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// Code and message beside the type, as in OpenAI's documentation.
    Flat,
    /// Code and message in an object `error`, as OpenAI sends them.
    Nested,
}

/// `incomplete_details.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncompleteReason {
    MaxOutputTokens,
    ContentFilter,
}

/// Token counts that replace the computed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub cached: u64,
    /// Includes the reasoning tokens.
    pub output: u64,
    pub reasoning: u64,
}

impl Script {
    /// An empty answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message with a text, one delta a word.
    pub fn text(self, text: &str) -> Self {
        self.step(Step::Message(vec![Part::Text(words(text), Vec::new())]))
    }

    /// A message with a text in these deltas.
    pub fn deltas(self, deltas: impl IntoIterator<Item = impl Into<Delta>>) -> Self {
        let deltas = deltas.into_iter().map(Into::into).collect();
        self.step(Step::Message(vec![Part::Text(deltas, Vec::new())]))
    }

    /// Adds a citation to the last text. Without a text it has no effect.
    pub fn citation(mut self, citation: Citation) -> Self {
        if let Some(Step::Message(parts)) = self.steps.last_mut()
            && let Some(Part::Text(_, citations)) = parts.last_mut()
        {
            citations.push(citation);
        }
        self
    }

    /// A message with a refusal, one delta a word.
    pub fn refusal(self, text: &str) -> Self {
        self.step(Step::Message(vec![Part::Refusal(words(text))]))
    }

    /// A reasoning item with the parts of its summary.
    pub fn reasoning<'a>(self, parts: impl IntoIterator<Item = &'a str>) -> Self {
        self.step(Step::Reasoning(parts.into_iter().map(str::to_owned).collect()))
    }

    /// A call of a function, with a random `call_id`.
    pub fn function_call(self, name: &str, arguments: &Value) -> Self {
        self.step(Step::FunctionCall {
            call_id: None,
            name: name.to_owned(),
            arguments: words(&arguments.to_string()),
        })
    }

    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Waits between two items.
    pub fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Pause(Delta::Wait(gate.clone())))
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// `response.failed`.
    pub fn failed(self, code: &str, message: &str) -> Self {
        self.end(End::Failed { code: code.to_owned(), message: message.to_owned() })
    }

    /// An event `error`, and nothing after it.
    pub fn error(self, shape: ErrorShape, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        self.end(End::Error { shape, code, message, then_failed: false })
    }

    /// Token counts instead of the computed ones.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// The pause before each delta.
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Uses the script only for a request whose last user message contains this text.
    pub fn when(mut self, text: &str) -> Self {
        self.condition = Some(text.to_owned());
        self
    }

    pub(super) fn applies_to(&self, user_text: &str) -> bool {
        self.condition.as_deref().is_none_or(|text| user_text.contains(text))
    }
}

impl From<&str> for Delta {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Delta {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Citation {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Url { url, title, start, end } => json!({
                "type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end,
            }),
            Self::File { file_id, filename, index } => json!({
                "type": "file_citation", "file_id": file_id, "filename": filename, "index": index,
            }),
            Self::Raw(value) => value.clone(),
        }
    }
}

impl IncompleteReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MaxOutputTokens => "max_output_tokens",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// One delta a word, with the space after it.
pub(super) fn words(text: &str) -> Vec<Delta> {
    text.split_inclusive(' ').map(Delta::from).collect()
}

/// Holds an answer until a test opens it. Clones share their state.
#[derive(Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn wait(&self) {
        // The sender is in `self`, so that the channel stays open.
        let _ = self.0.subscribe().wait_for(|is_open| *is_open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&*self.0.borrow()).finish()
    }
}
