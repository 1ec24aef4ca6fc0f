//! What knows nothing of sessions: configuration, telemetry, HTTP, parsing, encryption.

pub mod config;
pub mod egress;
pub mod http_client;
#[cfg(feature = "json-schema")]
pub mod json_schema;
pub mod parse;
pub mod sealing;
pub mod secret;
pub(crate) mod string_enum;
pub mod telemetry;
pub(crate) mod tls;
