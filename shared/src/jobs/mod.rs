//! Work that no request waits for.

#[cfg(feature = "mcp")]
pub mod dispatch;
pub mod erasure;
pub mod maintenance;
mod run;

pub use run::{FailedJob, Run};
