//! Domain layer: sessions and their events, deliveries, escalations, messages, the chat, agents,
//! changes, metrics, and what only operators do.

pub mod administration;
pub mod agents;
pub mod changes;
#[cfg(feature = "mcp")]
pub mod chat;
#[cfg(feature = "mcp")]
pub mod deliveries;
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
