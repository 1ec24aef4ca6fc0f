//! What every function shares, from the ground up:
//!
//! | floor | rooms |
//! | --- | --- |
//! | the edge | [`edge`]: one request in, one answer out |
//! | the domain | [`app`], [`call`], [`error`], [`sessions`], [`events`], [`escalations`], [`messages`], [`metrics`],
//! | | [`agents`], [`idempotency`], [`limit`], [`page`], [`parse`], [`round`], [`erasure`], [`upkeep`], `deliveries`, `doctor` |
//! | the outside | [`auth`], [`chatkit`], [`supabase`], [`sealing`], `mcp` |
//! | the way out | [`upstream`] to what is configured, [`outbound`] to what the registry names |
//! | the ground | [`config`], `client`, [`secret`], [`telemetry`], `json_schema`, `words` |
//!
//! A room uses rooms below it, never one above.

pub mod agents;
pub mod app;
pub mod auth;
pub mod call;
pub mod chatkit;
mod client;
pub mod config;
#[cfg(feature = "mcp")]
pub mod deliveries;
#[cfg(feature = "doctor")]
pub mod doctor;
pub mod edge;
pub mod erasure;
pub mod error;
pub mod escalations;
pub mod events;
pub mod idempotency;
#[cfg(feature = "json-schema")]
pub mod json_schema;
pub mod limit;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod messages;
pub mod metrics;
pub mod outbound;
pub mod page;
pub mod parse;
pub mod round;
pub mod sealing;
pub mod secret;
pub mod sessions;
pub mod supabase;
pub mod telemetry;
pub mod upkeep;
pub mod upstream;
mod words;
