//! The benchmarks: `cargo bench-changes`, `cargo bench-cold-start` and `cargo bench-stream`.

pub mod changes;
pub mod cold_start;
mod event;
mod response;
pub(crate) mod statistics;
pub mod stream;
mod upstream;

/// Printed before the functions are built.
const BUILDING: &str = "Building with the release profile; the first build takes some minutes …";
