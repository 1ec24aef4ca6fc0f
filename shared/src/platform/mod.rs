//! Platform layer: configuration, telemetry, HTTP clients, parsing and encryption. It does
//! not depend on the domain.

#[cfg(any(feature = "aws", feature = "runtime-secrets"))]
pub(crate) mod aws;
pub mod config;
pub mod egress;
pub mod event_stream;
pub mod http_client;
#[cfg(feature = "json-schema")]
pub mod json_schema;
pub mod parse;
pub mod sealing;
pub mod secret;
pub mod secret_store;
pub(crate) mod string_enum;
pub mod telemetry;
pub(crate) mod tls;
