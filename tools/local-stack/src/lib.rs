//! The local stack: PostgreSQL, a PostgREST-compatible server behind Supabase's gateway, the
//! function binaries behind a Lambda Runtime API, fakes of OpenAI, of a model and of AWS, and agents'
//! MCP servers.

// The stack parses times as any client does; `shared::platform::parse` is under test.
#![allow(clippy::disallowed_types)]

use std::process::ExitCode;

pub mod agents;
pub mod aws;
pub mod cache;
pub mod chat_client;
pub mod due_work;
pub mod http;
pub mod lambda;
pub mod metric_definitions;
pub mod model;
pub mod openai;
pub mod postgres;
pub mod process_reaper;
pub mod project;
pub mod runtime;
pub mod seed_data;
mod stack;
pub mod supabase;
pub mod toolchain;
pub mod yaml;

pub use stack::{Builder, Environment, KeyStyle, LocalStack, NAMESPACE, ORIGIN, PROJECT};

/// Runs a program on the local stack and then stops every process that it started.
pub fn run_program(run: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run),
        Err(error) => Err(error.into()),
    };
    match outcome.and(finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Stops PostgreSQL and every other child process, and waits until they have exited. No process can
/// be started afterwards.
fn finish() -> anyhow::Result<()> {
    postgres::stop()?;
    process_reaper::finish()
}
