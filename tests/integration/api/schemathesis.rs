//! Requests that nobody thought of are answered as the API's description says too.

use anyhow::Result;
use dev_tools::fuzz_api::{Plan, explore};

// NAME: explored: what Schemathesis makes up is answered as docs/openapi.yaml says
/// Every phase, and no more than that.
#[tokio::test]
async fn explored() -> Result<()> {
    explore(&Plan { requests: 0, seed: SEED }, |_| ()).await?;
    Ok(())
}
