//! The commands on the local stack, each with an alias in `.cargo/config.toml`.

// Times are read as any client reads them; `shared::platform::parse` is under test.
#![allow(clippy::disallowed_types)]

pub mod bench_cold_start;
pub mod demo;
pub mod dev;
pub mod fuzz_api;
pub mod stress;
mod terminal;
