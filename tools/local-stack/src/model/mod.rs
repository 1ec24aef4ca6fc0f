//! A strict fake of OpenAI's Responses API: `POST /v1/responses`, streamed and complete.
//!
//! It rejects the same requests as OpenAI, with the same error envelopes, and sends the same events
//! in the same order. OpenAI's own Python SDK verifies it. Tests choose the answers with
//! [`Script`]s, add faults with [`Fault`], and simulate other servers with [`Quirk`]s. Where
//! OpenAI's documentation is silent, the fake is strict:
//!
//! - a parameter, tool or input item that the fake does not simulate is a 400;
//! - the names of tools, the ids of items and the ids of calls are unique;
//! - every call has exactly one output after it, and every output has a call before it;
//! - a reasoning item is followed by a message of the assistant or a call;
//! - a reasoning item without encrypted content must belong to a stored response.
//!
//! A token is four bytes. The counts depend only on the request and the script.

mod conversation;
mod end;
mod error;
mod fake;
mod fault;
mod fields;
mod handler;
mod items;
mod parameters;
mod quirk;
mod render;
mod request;
mod request_log;
mod response;
mod script;
mod settings;
mod state;
mod stream;
mod tokens;
mod tools;

pub use fake::FakeModel;
pub use fault::{Fault, FaultId};
pub use quirk::Quirk;
pub use request::last_user_text;
pub use request_log::{Progress, RecordedRequest};
pub use script::{Citation, Delta, End, ErrorShape, Gate, IncompleteReason, Part, Script, Step, Usage};
pub use settings::{MODEL, Model, Settings};
pub use tokens::count as count_tokens;
