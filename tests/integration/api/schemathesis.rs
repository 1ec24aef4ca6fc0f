//! Requests that nobody thought of are answered as the API's description says too.

use anyhow::Result;
use dev_tools::fuzz_api::{Plan, explore};

/// A change is not to fail by what chance finds in something else: here the same is asked each time, by `cargo explore` another.
const SEED: u32 = 1;

// NAME: explored: what Schemathesis makes up is answered as docs/openapi.yaml says
/// Every phase, and no more than that.
#[tokio::test]
async fn explored() -> Result<()> {
    explore(&Plan { requests: 0, seed: SEED }, |_| ()).await?;
    Ok(())
}
