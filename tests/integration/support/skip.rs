//! Tests that need something that may not be installed.

use anyhow::{Result, bail};
use local_stack::toolchain::ToolError;

/// Reports that a test is skipped. In CI a skipped test fails.
pub fn skip(reason: &str) -> Result<()> {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("skipped, which is an error in CI: {reason}");
    }
    eprintln!("skipped: {reason}");
    Ok(())
}

/// Runs a test that needs a tool. Skips it if Python, which installs the tools, is missing.
pub async fn with_tools(test: impl Future<Output = Result<()>>) -> Result<()> {
    match test.await {
        Err(error) => match error.downcast_ref::<ToolError>() {
            Some(missing @ ToolError::NoPython(_)) => skip(&missing.to_string()),
            _ => Err(error),
        },
        result => result,
    }
}
