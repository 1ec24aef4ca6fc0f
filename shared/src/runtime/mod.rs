//! What starts and serves a function: HTTP endpoints, scheduled jobs, the database webhook, and admin tasks.

mod admin;
mod dependencies;
mod endpoint;
mod event;
mod http_service;
mod schedule;
mod webhook;

pub use admin::{Operated, serve_operated};
pub use dependencies::Setup;
pub use endpoint::Function;
pub use event::{EventResponse, Format, Payload};
pub use http_service::{Edge, serve};
pub use schedule::{Scheduled, serve_scheduled};
pub use webhook::{serve_woken, wake};
