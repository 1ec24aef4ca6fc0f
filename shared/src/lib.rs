//! A session layer for OpenAI ChatKit over Supabase, shared by all Lambda functions.
//!
//! | layer | modules |
//! | --- | --- |
//! | checks of a deployment | `doctor` |
//! | starting and serving a function | [`runtime`] |
//! | HTTP | [`http`]: request, response, problem details, routes, CORS |
//! | jobs | [`jobs`]: dispatch of events to agents, maintenance, erasure |
//! | domain | [`domain`]: sessions, events, escalations, messages, agents, metrics |
//! | clients of other systems | [`clients`]: Supabase, OpenAI, agents' MCP servers |
//! | authentication of callers | [`auth`] |
//! | platform | [`platform`]: configuration, telemetry, HTTP client, egress guard, encryption |
//! | errors | [`error`] |
//!
//! Imports run downwards only; `tests/integration/architecture.rs` checks this.

pub mod auth;
pub mod clients;
#[cfg(feature = "doctor")]
pub mod doctor;
pub mod domain;
pub mod error;
pub mod http;
pub mod jobs;
pub mod platform;
pub mod runtime;
