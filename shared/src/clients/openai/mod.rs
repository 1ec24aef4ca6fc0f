//! Client of OpenAI's ChatKit API.

mod client;
mod dto;
mod error;
mod model;

pub use client::{ChatKit, parse_api_key, parse_project};
pub use error::{Error, OpenAiCause};
pub use model::{ChatKitSession, ChatKitSessionRequest, HostedThread, MessagePage, ThreadMessage};
