//! Events of a response's stream, reduced to what a conversation needs.

use super::ModelCause;

/// An event of a response's stream.
///
/// `index` is the position of the output item in the response and `part` the position of the part
/// in its item. Ids of the server are not used, since some servers send the same one everywhere.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    ResponseCreated,
    OutputItemAdded {
        index: u64,
        item: OutputItem,
    },
    OutputItemDone {
        index: u64,
        item: OutputItem,
    },
    ContentPartAdded {
        index: u64,
        part: u64,
        content: ContentPart,
    },
    ContentPartDone {
        index: u64,
        part: u64,
        content: ContentPart,
    },
    TextDelta {
        index: u64,
        part: u64,
        delta: String,
    },
    TextDone {
        index: u64,
        part: u64,
        text: String,
    },
    AnnotationAdded {
        index: u64,
        part: u64,
        annotation: ModelAnnotation,
    },
    RefusalDelta {
        index: u64,
        part: u64,
        delta: String,
    },
    RefusalDone {
        index: u64,
        part: u64,
        refusal: String,
    },
    ReasoningSummaryPartAdded {
        index: u64,
        part: u64,
    },
    ReasoningSummaryPartDone {
        index: u64,
        part: u64,
        text: String,
    },
    ReasoningSummaryTextDelta {
        index: u64,
        part: u64,
        delta: String,
    },
    ReasoningSummaryTextDone {
        index: u64,
        part: u64,
        text: String,
    },
    /// Reasoning itself, which models with open weights stream.
    ReasoningTextDelta {
        index: u64,
        part: u64,
        delta: String,
    },
    ReasoningTextDone {
        index: u64,
        part: u64,
        text: String,
    },
    FunctionCallArgumentsDelta {
        index: u64,
        delta: String,
    },
    FunctionCallArgumentsDone {
        index: u64,
        arguments: String,
    },
    /// The response is complete. Ends the stream, as the four events below do.
    Completed {
        usage: Option<Usage>,
        output: Vec<OutputItem>,
    },
    Incomplete {
        reason: IncompleteReason,
        usage: Option<Usage>,
        output: Vec<OutputItem>,
    },
    Failed {
        code: Option<String>,
        message: Option<String>,
        usage: Option<Usage>,
    },
    Error {
        code: Option<String>,
        message: Option<String>,
    },
    /// An event that a conversation does not need, or an unknown one.
    Ignored,
}

/// An item of a response's output.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputItem {
    Message { content: Vec<ContentPart> },
    Reasoning(ReasoningItem),
    FunctionCall { call_id: String, name: String, arguments: String },
    Other { kind: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReasoningItem {
    /// Texts of the summary's parts.
    pub summary: Vec<String>,
    /// Texts of the reasoning itself, from models with open weights.
    pub content: Vec<String>,
    /// The reasoning in a form that only its provider can read, to be sent with later requests.
    pub encrypted_content: Option<String>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentPart {
    Text { text: String, annotations: Vec<ModelAnnotation> },
    Refusal { refusal: String },
    Other,
}

/// A reference in a text to its source. Positions count characters from the start of the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelAnnotation {
    UrlCitation {
        url: String,
        title: Option<String>,
        end_index: Option<u64>,
    },
    /// A file. `index` is the position of the reference, if the server sends one.
    FileCitation {
        file_id: String,
        filename: Option<String>,
        index: Option<u64>,
    },
    Other,
}

/// Why a response is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncompleteReason {
    MaxOutputTokens,
    ContentFilter,
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u64,
    /// Part of `input_tokens` that the provider had cached.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Part of `output_tokens` that the model used for reasoning.
    pub reasoning_tokens: u64,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cached_tokens: self.cached_tokens + other.cached_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            reasoning_tokens: self.reasoning_tokens + other.reasoning_tokens,
        }
    }
}

impl ModelEvent {
    /// Returns whether this event ends the stream.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Completed { .. } | Self::Incomplete { .. } | Self::Failed { .. } | Self::Error { .. }
        )
    }

    /// Returns the tokens that the response used, which a terminal event reports.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Completed { usage, .. } | Self::Incomplete { usage, .. } | Self::Failed { usage, .. } => {
                *usage
            }
            _ => None,
        }
    }

    /// Returns the cause of a failure that this event reports.
    pub fn failure(&self) -> Option<ModelCause> {
        match self {
            Self::Failed { code, .. } | Self::Error { code, .. } => {
                Some(ModelCause::from_event_code(code.as_deref()))
            }
            _ => None,
        }
    }
}
