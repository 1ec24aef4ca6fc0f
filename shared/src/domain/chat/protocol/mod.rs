//! Types of ChatKit's protocol. A field without a value is left out instead of `null`, and a
//! default that clients rely on is written.

mod event;
#[cfg(test)]
mod event_tests;
mod item;
mod request;
pub mod request_limits;
#[cfg(test)]
mod request_tests;
mod thread;

pub use event::{ItemUpdate, NoticeLevel, StreamErrorCode, StreamOptions, ThreadStreamEvent};
pub use item::{
    Annotation, Attachment, AttachmentKind, ChatTask, ClientToolCallStatus, GeneratedImage, InputAnswer,
    InputOption, ItemContent, OutputText, Source, SourceKind, StatusIndicator, StructuredInputField,
    StructuredInputStatus, TaskKind, ThreadItem, UploadDescriptor, Workflow, WorkflowKind, WorkflowSummary,
};
pub use request::{
    Action, ChatRequest, FeedbackKind, InferenceOptions, PageOrder, PageParams, StructuredAnswer,
    StructuredAnswers, ToolChoice, UserContent, UserMessageInput,
};
pub use thread::{ChatPage, Thread, ThreadStatus};
