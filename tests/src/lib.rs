//! The local stack, and what the tests, the demo and the benchmarks need around it.

pub mod cache;
pub mod chatkit;
mod guardian;
pub mod http;
pub mod lambda;
pub mod postgres;
mod project;
pub mod sdk;
pub mod supabase;
pub mod tools;
mod world;

pub use world::{Builder, Environment, KeyStyle, ORIGIN, PROJECT, World};

/// Ends what all worlds of this process share, and waits until nothing is left of it. To be called last.
pub fn finish() -> anyhow::Result<()> {
    postgres::stop()?;
    guardian::finish()
}
