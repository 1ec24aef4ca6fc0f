//! Which failures the SDK tries again.

use anyhow::Result;
use local_stack::openai::{Fault, On};
use serde_json::json;

use super::{KEY, sdk, standin};

// NAME: SDK: the SDK tries again by its rules
/// Which failures the SDK tries again: the rules that our own client follows where a repeat is safe.
#[tokio::test]
async fn the_sdk_tries_again_by_its_rules() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 2).await?;
    let list = || Fault::new(On::ListThreads);
    let soon = |status| list().status(status).retry_after_ms("1");
    let rows = [
        ("408", soon(408), 3),
        ("409", soon(409), 3),
        ("429", soon(429), 3),
        ("500", soon(500), 3),
        ("503", soon(503), 3),
        ("400", soon(400), 1),
        ("401", soon(401), 1),
        ("404", soon(404), 1),
        ("x-should-retry: false above the status", soon(503).should_retry(false), 1),
        ("x-should-retry: true above the status", soon(404).should_retry(true), 3),
        ("a wait of more than two minutes", list().status(503).retry_after("121"), 1),
        ("a wait in milliseconds above one in seconds", soon(503).retry_after("100"), 3),
        ("a body that is no JSON", list().nonsense(), 1),
    ];
    for (why, fault, tries) in rows {
        let fault = standin.fault(fault);
        let _ = sdk.call("threads.list", json!([]), json!({})).await?;
        assert_eq!(standin.hits(fault), tries, "{why}");
        standin.clear(fault);
    }
    for fault in [list().reset_before(), list().cut_body()] {
        let fault = standin.fault(fault.times(1));
        assert!(sdk.call("threads.list", json!([]), json!({})).await?.is_ok());
        assert_eq!(standin.hits(fault), 1);
    }
    Ok(())
}
