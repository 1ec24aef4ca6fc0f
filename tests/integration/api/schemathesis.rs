//! Requests that Schemathesis generates from `docs/openapi.yaml`.

use anyhow::Result;
use dev_tools::fuzz_api::{Plan, fuzz};

use crate::support::skip::with_tools;

/// A fixed seed sends the same requests in each run, so that a change cannot fail at random.
/// `cargo fuzz-api` uses a random one.
const SEED: u32 = 1;

#[tokio::test]
async fn generated_requests_are_answered_as_documented() -> Result<()> {
    // With `requests: 0`, each phase runs once.
    let plan = Plan { requests: 0, seed: SEED };
    with_tools(async { fuzz(&plan, |_| ()).await.map(drop) }).await
}
