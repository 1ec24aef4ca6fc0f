//! The commands on the local stack, each with an alias in `.cargo/config.toml`.

// The tools parse times as any client does; `shared::platform::parse` is under test.
#![allow(clippy::disallowed_types)]

pub mod bench;
pub mod demo;
pub mod dev;
pub mod fuzz_api;
pub mod stress;
mod terminal;
