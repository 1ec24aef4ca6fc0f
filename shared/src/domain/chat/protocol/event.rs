//! Events of a streamed answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Annotation, ChatTask, GeneratedImage, OutputText, Thread, ThreadItem};

/// An event of a streamed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ThreadStreamEvent {
    #[serde(rename = "thread.created")]
    ThreadCreated { thread: Thread },
    #[serde(rename = "thread.updated")]
    ThreadUpdated { thread: Thread },
    /// The item has begun. It is not stored yet.
    #[serde(rename = "thread.item.added")]
    ItemAdded { item: ThreadItem },
    #[serde(rename = "thread.item.updated")]
    ItemUpdated { item_id: String, update: ItemUpdate },
    /// The item is final and stored.
    #[serde(rename = "thread.item.done")]
    ItemDone { item: ThreadItem },
    #[serde(rename = "thread.item.removed")]
    ItemRemoved { item_id: String },
    #[serde(rename = "thread.item.replaced")]
    ItemReplaced { item: ThreadItem },
    #[serde(rename = "stream_options")]
    StreamOptions { stream_options: StreamOptions },
    /// A text that the client shows until the answer ends.
    #[serde(rename = "progress_update")]
    ProgressUpdate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        icon: Option<String>,
        text: String,
    },
    #[serde(rename = "client_effect")]
    ClientEffect {
        name: String,
        #[serde(default)]
        data: Map<String, Value>,
    },
    #[serde(rename = "notice")]
    Notice {
        level: NoticeLevel,
        /// Markdown.
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    #[serde(rename = "error")]
    Error {
        code: StreamErrorCode,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        allow_retry: bool,
    },
}

/// A change of an item that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ItemUpdate {
    #[serde(rename = "assistant_message.content_part.added")]
    ContentPartAdded { content_index: usize, content: OutputText },
    #[serde(rename = "assistant_message.content_part.text_delta")]
    TextDelta { content_index: usize, delta: String },
    #[serde(rename = "assistant_message.content_part.annotation_added")]
    AnnotationAdded { content_index: usize, annotation_index: usize, annotation: Annotation },
    #[serde(rename = "assistant_message.content_part.done")]
    ContentPartDone { content_index: usize, content: OutputText },
    #[serde(rename = "widget.streaming_text.value_delta")]
    WidgetTextDelta { component_id: String, delta: String, done: bool },
    #[serde(rename = "widget.component.updated")]
    WidgetComponentUpdated { component_id: String, component: Value },
    #[serde(rename = "widget.root.updated")]
    WidgetRootUpdated { widget: Value },
    #[serde(rename = "workflow.task.added")]
    TaskAdded { task_index: usize, task: ChatTask },
    /// Carries the whole task.
    #[serde(rename = "workflow.task.updated")]
    TaskUpdated { task_index: usize, task: ChatTask },
    #[serde(rename = "generated_image.updated")]
    ImageUpdated {
        image: GeneratedImage,
        /// From 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<f64>,
    },
}

/// Actions that the client may offer while an answer is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether the client shows a button that stops the answer.
    pub allow_cancel: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    Info,
    Warning,
    Danger,
}

/// Text that a client shows for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamErrorCode {
    /// The client's own text, in the user's language.
    #[serde(rename = "stream.error")]
    StreamError,
    /// The message of the event.
    #[serde(rename = "custom")]
    Custom,
}
