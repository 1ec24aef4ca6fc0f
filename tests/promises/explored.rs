//! Requests that nobody thought of are answered as the API's description says too.

use anyhow::Result;
use libtest_mimic::Trial;
use local_stack::explore::{Plan, explore};

use crate::harness::alone;

/// A change is not to fail by what chance finds in something else: here the same is asked each time, by `cargo explore` another.
const SEED: u32 = 1;

pub fn trials() -> Vec<Trial> {
    vec![alone("explored: what Schemathesis makes up is answered as docs/openapi.yaml says", explored)]
}

/// Every phase, and no more than that.
async fn explored() -> Result<()> {
    explore(&Plan { requests: 0, seed: SEED }, |_| ()).await?;
    Ok(())
}
