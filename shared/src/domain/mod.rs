//! Sessions and what happens in them.

pub mod agents;
pub mod escalations;
pub mod events;
pub mod idempotency;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod pagination;
mod request_context;
pub mod sessions;

pub use request_context::{OnBehalf, RequestContext};
