//! The local stack, and what the tests, the demo and the benchmarks need around it.

// The tests read times as any client does; `shared::platform::parse` is what they try.
#![allow(clippy::disallowed_types)]

use std::process::ExitCode;

pub mod agents;
pub mod cache;
pub mod chatkit;
pub mod cold;
pub mod demo;
pub mod due;
pub mod explore;
mod guardian;
pub mod http;
pub mod lambda;
pub mod local;
pub mod metrics;
pub mod postgres;
mod project;
pub mod sdk;
pub mod soak;
pub mod supabase;
pub mod terminal;
pub mod tools;
mod world;
pub mod yaml;

pub use world::{Builder, Environment, KeyStyle, NAMESPACE, ORIGIN, PROJECT, World};

/// Runs one of the programs built on the stack, and leaves nothing behind whether it succeeds or not.
pub fn program(run: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
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

/// Ends what all worlds of this process share, and waits until nothing is left of it. To be called last.
pub fn finish() -> anyhow::Result<()> {
    postgres::stop()?;
    guardian::finish()
}
