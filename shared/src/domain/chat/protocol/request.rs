use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::request_limits::check_limits;
use crate::error::{Error, FieldError, pointer};

/// A request of a client. Its `metadata` and unknown fields are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatRequest {
    CreateThread { input: UserMessageInput },
    AddUserMessage { thread_id: String, input: UserMessageInput },
    AddClientToolOutput { thread_id: String, result: Value },
    AddStructuredInput { thread_id: String, item_id: String, input: StructuredAnswers },
    CustomAction { thread_id: String, item_id: Option<String>, action: Action },
    SyncCustomAction { thread_id: String, item_id: Option<String>, action: Action },
    RetryAfterItem { thread_id: String, item_id: String },
    GetThread { thread_id: String },
    ListThreads { page: PageParams },
    UpdateThread { thread_id: String, title: String },
    DeleteThread { thread_id: String },
    ListItems { thread_id: String, page: PageParams },
    Feedback { thread_id: String, item_ids: Vec<String>, kind: FeedbackKind },
    CreateAttachment { name: String, size: u64, mime_type: String },
    DeleteAttachment { attachment_id: String },
    Transcribe { audio_base64: String, mime_type: String },
}

/// A message as a user writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserMessageInput {
    pub content: Vec<UserContent>,
    /// Ids of uploaded attachments.
    #[serde(default)]
    pub attachments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_text: Option<String>,
    #[serde(default)]
    pub inference_options: InferenceOptions,
}

/// A part of a user's message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum UserContent {
    #[serde(rename = "input_text")]
    Text { text: String },
    /// A reference to something of the page, for example to a supplier.
    #[serde(rename = "input_tag")]
    Tag {
        id: String,
        text: String,
        #[serde(default)]
        data: Map<String, Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        #[serde(default)]
        interactive: bool,
    },
}

/// The user's choices in the composer. The server must check them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolChoice {
    pub id: String,
}

/// The user's answers to a structured input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum StructuredAnswers {
    Answered {
        /// By the id of the question.
        #[serde(default)]
        answers: BTreeMap<String, StructuredAnswer>,
    },
    Skipped,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StructuredAnswer {
    #[serde(default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub skipped: bool,
}

/// An action of a widget. The client controls the payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackKind {
    Positive,
    Negative,
}

/// Which rows of a list are requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PageParams {
    #[serde(default)]
    limit: Option<i64>,
    #[serde(default)]
    pub order: PageOrder,
    /// Id of the last row of the previous page.
    #[serde(default)]
    pub after: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageOrder {
    Asc,
    #[default]
    Desc,
}

impl PageParams {
    /// Size of a page if the request does not state one.
    pub const DEFAULT_LIMIT: u16 = 20;
    /// ChatKit requests 9,999 threads at once.
    pub const MAX_LIMIT: u16 = 100;

    /// Returns the number of rows, between 1 and [`Self::MAX_LIMIT`].
    pub fn limit(&self) -> u16 {
        match self.limit {
            None | Some(i64::MIN..=0) => Self::DEFAULT_LIMIT,
            Some(limit) => u16::try_from(limit).unwrap_or(Self::MAX_LIMIT).min(Self::MAX_LIMIT),
        }
    }
}

#[derive(Deserialize)]
struct InputParams {
    input: UserMessageInput,
}

#[derive(Deserialize)]
struct ThreadInputParams {
    thread_id: String,
    input: UserMessageInput,
}

#[derive(Deserialize)]
struct ToolOutputParams {
    thread_id: String,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct StructuredInputParams {
    thread_id: String,
    item_id: String,
    input: StructuredAnswers,
}

#[derive(Deserialize)]
struct ActionParams {
    thread_id: String,
    #[serde(default)]
    item_id: Option<String>,
    action: Action,
}

#[derive(Deserialize)]
struct ItemParams {
    thread_id: String,
    item_id: String,
}

#[derive(Deserialize)]
struct ThreadParams {
    thread_id: String,
}

#[derive(Deserialize)]
struct TitleParams {
    thread_id: String,
    title: String,
}

#[derive(Deserialize)]
struct ListItemsParams {
    thread_id: String,
    #[serde(flatten)]
    page: PageParams,
}

#[derive(Deserialize)]
struct FeedbackParams {
    thread_id: String,
    item_ids: Vec<String>,
    kind: FeedbackKind,
}

#[derive(Deserialize)]
struct CreateAttachmentParams {
    name: String,
    size: u64,
    mime_type: String,
}

#[derive(Deserialize)]
struct DeleteAttachmentParams {
    attachment_id: String,
}

#[derive(Deserialize)]
struct TranscribeParams {
    audio_base64: String,
    mime_type: String,
}

impl ChatRequest {
    /// The types of requests, as in `type`.
    pub const KINDS: [&str; 16] = [
        "threads.create",
        "threads.add_user_message",
        "threads.add_client_tool_output",
        "threads.add_structured_input",
        "threads.custom_action",
        "threads.sync_custom_action",
        "threads.retry_after_item",
        "threads.get_by_id",
        "threads.list",
        "threads.update",
        "threads.delete",
        "items.list",
        "items.feedback",
        "attachments.create",
        "attachments.delete",
        "input.transcribe",
    ];

    /// Parses the body of a request.
    ///
    /// # Errors
    /// Returns [`ErrorCode::InvalidRequest`](crate::error::ErrorCode::InvalidRequest) with a
    /// pointer for an unknown type, for missing or wrong fields, and beyond the limits of
    /// [`request_limits`](super::request_limits).
    pub fn parse(body: Value) -> Result<Self, Error> {
        let invalid = |pointer: &str, detail: String| Error::invalid(vec![FieldError::at(pointer, detail)]);
        let Value::Object(mut body) = body else {
            return Err(invalid("", "must be an object".to_owned()));
        };
        let params = body.remove("params").unwrap_or_else(|| Value::Object(Map::new()));
        if !params.is_object() {
            return Err(invalid("/params", "must be an object".to_owned()));
        }
        let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
        let request = match kind {
            "threads.create" => {
                let InputParams { input } = parse_params(params)?;
                Self::CreateThread { input }
            }
            "threads.add_user_message" => {
                let ThreadInputParams { thread_id, input } = parse_params(params)?;
                Self::AddUserMessage { thread_id, input }
            }
            "threads.add_client_tool_output" => {
                let ToolOutputParams { thread_id, result } = parse_params(params)?;
                Self::AddClientToolOutput { thread_id, result }
            }
            "threads.add_structured_input" => {
                let StructuredInputParams { thread_id, item_id, input } = parse_params(params)?;
                Self::AddStructuredInput { thread_id, item_id, input }
            }
            "threads.custom_action" => {
                let ActionParams { thread_id, item_id, action } = parse_params(params)?;
                Self::CustomAction { thread_id, item_id, action }
            }
            "threads.sync_custom_action" => {
                let ActionParams { thread_id, item_id, action } = parse_params(params)?;
                Self::SyncCustomAction { thread_id, item_id, action }
            }
            "threads.retry_after_item" => {
                let ItemParams { thread_id, item_id } = parse_params(params)?;
                Self::RetryAfterItem { thread_id, item_id }
            }
            "threads.get_by_id" => {
                let ThreadParams { thread_id } = parse_params(params)?;
                Self::GetThread { thread_id }
            }
            "threads.list" => Self::ListThreads { page: parse_params(params)? },
            "threads.update" => {
                let TitleParams { thread_id, title } = parse_params(params)?;
                Self::UpdateThread { thread_id, title }
            }
            "threads.delete" => {
                let ThreadParams { thread_id } = parse_params(params)?;
                Self::DeleteThread { thread_id }
            }
            "items.list" => {
                let ListItemsParams { thread_id, page } = parse_params(params)?;
                Self::ListItems { thread_id, page }
            }
            "items.feedback" => {
                let FeedbackParams { thread_id, item_ids, kind } = parse_params(params)?;
                Self::Feedback { thread_id, item_ids, kind }
            }
            "attachments.create" => {
                let CreateAttachmentParams { name, size, mime_type } = parse_params(params)?;
                Self::CreateAttachment { name, size, mime_type }
            }
            "attachments.delete" => {
                let DeleteAttachmentParams { attachment_id } = parse_params(params)?;
                Self::DeleteAttachment { attachment_id }
            }
            "input.transcribe" => {
                let TranscribeParams { audio_base64, mime_type } = parse_params(params)?;
                Self::Transcribe { audio_base64, mime_type }
            }
            _ => return Err(invalid("/type", format!("must be one of {}", Self::KINDS.join(", ")))),
        };
        let errors = check_limits(&request);
        if errors.is_empty() { Ok(request) } else { Err(Error::invalid(errors)) }
    }

    /// Returns the type, as in `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CreateThread { .. } => "threads.create",
            Self::AddUserMessage { .. } => "threads.add_user_message",
            Self::AddClientToolOutput { .. } => "threads.add_client_tool_output",
            Self::AddStructuredInput { .. } => "threads.add_structured_input",
            Self::CustomAction { .. } => "threads.custom_action",
            Self::SyncCustomAction { .. } => "threads.sync_custom_action",
            Self::RetryAfterItem { .. } => "threads.retry_after_item",
            Self::GetThread { .. } => "threads.get_by_id",
            Self::ListThreads { .. } => "threads.list",
            Self::UpdateThread { .. } => "threads.update",
            Self::DeleteThread { .. } => "threads.delete",
            Self::ListItems { .. } => "items.list",
            Self::Feedback { .. } => "items.feedback",
            Self::CreateAttachment { .. } => "attachments.create",
            Self::DeleteAttachment { .. } => "attachments.delete",
            Self::Transcribe { .. } => "input.transcribe",
        }
    }

    /// Returns whether the answer is an event stream. The answers to the others are JSON.
    pub const fn is_streamed(&self) -> bool {
        matches!(
            self,
            Self::CreateThread { .. }
                | Self::AddUserMessage { .. }
                | Self::AddClientToolOutput { .. }
                | Self::AddStructuredInput { .. }
                | Self::CustomAction { .. }
                | Self::RetryAfterItem { .. }
        )
    }
}

fn parse_params<T: DeserializeOwned>(params: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(params).map_err(|error| {
        let at = format!("/params{}", pointer(error.path()));
        Error::invalid(vec![FieldError::parsing(at, error.inner())])
    })
}
