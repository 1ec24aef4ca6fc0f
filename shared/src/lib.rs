//! The session layer behind every function.
//!
//! | layer | modules |
//! | --- | --- |
//! | checks of a deployment | `doctor` |
//! | what starts and serves a function | [`runtime`] |
//! | HTTP | [`http`]: request, response, problem details, routes, CORS |
//! | jobs | [`jobs`]: dispatch of events to agents, maintenance, erasure |
//! | domain | [`domain`]: sessions, events, escalations, messages, agents, metrics |
//! | clients of other systems | [`clients`]: Supabase, OpenAI, agents' MCP servers |
//! | who is calling | [`auth`] |
//! | platform | [`platform`]: configuration, telemetry, HTTP client, egress guard, parsers, encryption |
//! | errors | [`error`] |
//!
//! Imports run downwards only; `tests/promises/layers.rs` checks it.

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
