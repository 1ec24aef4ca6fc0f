//! The failures that the SDK retries. The functions follow the same rules where a repeat is safe.

use anyhow::Result;
use local_stack::openai::{Fault, Operation};
use serde_json::json;

use super::{KEY, sdk, start_fake};
use crate::support::skip;

#[tokio::test]
async fn sdk_retries_only_retryable_failures() -> Result<()> {
    skip::with_tools(async {
        let fake = start_fake().await?;
        let mut sdk = sdk(&fake, KEY, 2).await?;
        let list = || Fault::new(Operation::ListThreads);
        let retryable_soon = |status| list().status(status).retry_after_ms("1");
        let rows = [
            ("408", retryable_soon(408), 3),
            ("409", retryable_soon(409), 3),
            ("429", retryable_soon(429), 3),
            ("500", retryable_soon(500), 3),
            ("503", retryable_soon(503), 3),
            ("400", retryable_soon(400), 1),
            ("401", retryable_soon(401), 1),
            ("404", retryable_soon(404), 1),
            ("x-should-retry: false above the status", retryable_soon(503).should_retry(false), 1),
            ("x-should-retry: true above the status", retryable_soon(404).should_retry(true), 3),
            ("a wait of more than two minutes", list().status(503).retry_after("121"), 1),
            ("a wait in milliseconds above one in seconds", retryable_soon(503).retry_after("100"), 3),
            ("a body that is not JSON", list().html_body(), 1),
        ];
        for (case, fault, attempts) in rows {
            let fault = fake.add_fault(fault);
            let _ = sdk.call("threads.list", json!([]), json!({})).await?;
            assert_eq!(fake.hits(fault), attempts, "{case}");
            fake.clear(fault);
        }
        for fault in [list().reset_before(), list().cut_body()] {
            let fault = fake.add_fault(fault.times(1));
            assert!(sdk.call("threads.list", json!([]), json!({})).await?.is_ok());
            assert_eq!(fake.hits(fault), 1);
        }
        Ok(())
    })
    .await
}
