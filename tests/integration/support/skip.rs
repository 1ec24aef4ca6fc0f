//! Tests that need something that is not installed.

use anyhow::{Result, bail};
use local_stack::toolchain::ToolError;

/// Ends a test that cannot run here. In CI, where every test must run, it fails.
///
/// # Errors
///
/// Where the variable `CI` is `true`.
pub fn skip(reason: &str) -> Result<()> {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("not run, which is an error in CI: {reason}");
    }
    eprintln!("not run: {reason}");
    Ok(())
}

/// Runs a test that needs a tool, or skips it where Python, which installs the tools, is missing.
///
/// # Errors
///
/// Those of the test, and in CI a missing Python.
pub async fn with_tools(test: impl Future<Output = Result<()>>) -> Result<()> {
    match test.await {
        Err(error) => match error.downcast_ref::<ToolError>() {
            Some(missing @ ToolError::NoPython(_)) => skip(&missing.to_string()),
            _ => Err(error),
        },
        done => done,
    }
}
