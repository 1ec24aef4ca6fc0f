//! A strict fake of OpenAI's ChatKit API.
//!
//! It rejects the same requests as OpenAI, with the same statuses, error envelopes and response
//! shapes. Tests add faults with [`Fault`]. The fake follows OpenAI's published OpenAPI document,
//! and OpenAI's own Python SDK verifies it. Where the document is silent, the fake is strict:
//!
//! - an unknown version of a workflow, including `latest`, fails at the first message;
//! - `after` and `before` are positions in the sorted list; an unknown id is a 400;
//! - an undocumented body, query parameter or field is a 400;
//! - a request with an API key without a project must name a project.

mod auth;
mod browser;
mod clock;
mod create;
mod fake;
mod fault;
mod faults;
mod handler;
mod items;
mod operation;
mod page;
mod post_message;
mod request;
mod request_log;
mod response;
mod secret;
mod sessions;
mod settings;
mod state;
mod threads;
mod validation;

pub use browser::{Browser, PostMessageError, PostedMessage};
pub use fake::FakeOpenAi;
pub use fault::Fault;
pub use faults::FaultId;
pub use items::Item;
pub use operation::Operation;
pub use request_log::{NormalizedRequest, RecordedRequest};
pub use secret::RedactedString;
pub use sessions::{SessionSnapshot, SessionStatus};
pub use settings::{ApiKey, Settings, Workflow};
pub use threads::ThreadStatus;
