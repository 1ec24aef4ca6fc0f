//! A strict stand-in for OpenAI's ChatKit API.
//!
//! It refuses what OpenAI refuses, with the same statuses and the same error envelope, answers in the same shapes,
//! and goes wrong on order ([`Fault`]). It is written after OpenAI's published OpenAPI document and checked with
//! OpenAI's own Python SDK. What no document says is decided here, on the strict side:
//!
//! - a version that a workflow does not have (`latest` among them) is noticed at the first message, not before;
//! - `after` and `before` are places in the list as sorted; an id that is not in it is a 400;
//! - a body, query parameter or field that a call does not have is a 400;
//! - an API key that is bound to no project must name one.

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
mod server;
mod sessions;
mod settings;
mod state;
mod threads;
mod validation;

pub use browser::{Browser, Said, SayError};
pub use fake::FakeOpenAi;
pub use fault::Fault;
pub use faults::FaultId;
pub use items::Item;
pub use operation::Operation as On;
pub use operation::Operation;
pub use request_log::{Call, Essence};
pub use secret::Hidden;
pub use sessions::{SessionSnapshot, SessionStatus};
pub use settings::{ApiKey, Settings, Workflow};
pub use threads::ThreadStatus;
