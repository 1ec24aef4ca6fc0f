//! Background jobs, which no request waits for: dispatch, maintenance and erasure.

#[cfg(feature = "mcp")]
pub mod dispatch;
pub mod erasure;
pub mod maintenance;
mod run;

pub use run::{FailedJob, Run};
