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

mod answer;
mod browser;
mod check;
mod clock;
mod create;
mod exchange;
mod fault;
mod faults;
mod gate;
mod items;
mod ledger;
mod operation;
mod page;
mod request;
mod say;
mod secret;
mod server;
mod sessions;
mod settings;
mod standin;
mod state;
mod threads;

pub use browser::{Browser, Said, SayError};
pub use fault::Fault;
pub use faults::FaultId;
pub use items::Item;
pub use ledger::{Call, Essence};
pub use operation::Operation as On;
pub use operation::Operation;
pub use secret::Hidden;
pub use sessions::{SessionSnapshot, SessionStatus};
pub use settings::{ApiKey, Settings, Workflow};
pub use standin::StandIn;
pub use threads::ThreadStatus;
