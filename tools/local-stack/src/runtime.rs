//! The runtime of everything that outlives a single test.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().thread_name("local-stack").enable_all().build());

/// Runs `work` on a runtime that lives as long as the process.
///
/// A `#[tokio::test]` has a runtime of its own, which ends with the test. Servers and connections
/// belong to the runtime on which they were started, so those that several tests share, or that end
/// after their test, need another one.
///
/// # Errors
///
/// Returns the error of `work`, or an error if `work` panics.
pub async fn run<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let runtime = RUNTIME.as_ref().context("starting the runtime of the local stack")?;
    runtime.spawn(work).await.context("on the runtime of the local stack")?
}

/// Starts `work` without waiting for it.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = RUNTIME.as_ref() {
        runtime.spawn(work);
    }
}
