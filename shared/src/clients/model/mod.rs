//! Client of the model: any server that implements OpenAI's Responses API.
//! Source: <https://platform.openai.com/docs/api-reference/responses>

mod client;
#[cfg(test)]
mod client_tests;
mod error;
mod event;
mod parse;
mod request;
mod sse;
mod stream;
#[cfg(test)]
mod tolerance_tests;

pub use client::{ModelClient, parse_api_key};
pub use error::{ModelCause, ModelError};
pub use event::{
    ContentPart, IncompleteReason, ModelAnnotation, ModelEvent, OutputItem, ReasoningItem, Usage,
};
pub use request::{ModelRequest, Reasoning, ReasoningEffort};
pub use stream::ModelStream;

/// Reads the events of a whole stream.
#[cfg(test)]
pub(crate) fn read_events(stream: &str) -> Result<Vec<ModelEvent>, ModelCause> {
    let mut reader = stream::EventReader::default();
    reader.push(stream.as_bytes())?;
    std::iter::from_fn(|| reader.next_event().transpose()).collect()
}
