//! Starts and serves a function: HTTP endpoints, with and without streaming, scheduled jobs, the
//! database webhook, and admin tasks.

mod admin;
mod dependencies;
mod endpoint;
mod event;
mod http_edge;
mod http_service;
mod runtime_api;
mod schedule;
mod streaming;
mod webhook;

pub use crate::platform::config::Reported;
pub use admin::{AdminTask, error_message, serve_admin};
pub use dependencies::Dependencies;
pub use endpoint::Endpoint;
pub use event::{EventResponse, Format, Payload};
pub use http_service::{HttpService, serve};
pub use schedule::{ScheduledJob, serve_schedule};
pub use streaming::{StreamedBody, StreamingEndpoint, StreamingService, serve_streaming};
pub use webhook::{Webhook, WebhookService, serve_webhook};
