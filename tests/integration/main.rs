//! Tests of the functions on the local stack: PostgreSQL, a PostgREST-compatible server, the
//! function binaries, and fakes of OpenAI and of agents. `CONTRIBUTING.md` describes how to run one
//! of them.

// Test code: the lints that exempt tests do not recognise helper functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Times and ids are read as any client reads them; `shared::platform::parse` is under test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod api;
mod architecture;
mod chat;
mod clients;
mod configuration;
mod docs;
mod doctor;
mod end_to_end;
mod jobs;
mod migrations;
mod observability;
mod reliability;
mod security;
mod stress;
mod support;
mod test_env;
