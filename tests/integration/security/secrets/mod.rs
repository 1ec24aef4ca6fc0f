//! Keys, client secrets and users' tokens do not leak: not into the log at any level, not into
//! tables, and not into responses, except for the client secret that a user receives. An
//! idempotency key is stored in one column only.

mod echo_server;
mod leak_detector;
mod requests;
mod self_hosted;
mod upstreams;

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::{Builder, LocalStack};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};
use leak_detector::LeakDetector;

/// The control: the detector finds ids in the log, in responses and in tables.
#[tokio::test]
async fn leak_detector_finds_known_texts_everywhere() -> Result<()> {
    let stack = with_trace_log().start().await?;
    let (mut detector, caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let key = format!("key_{}", Uuid::new_v4().simple());
    let headers = [("idempotency-key", key.as_str())];
    let opened =
        detector.send_with_headers(&caller, Method::POST, "/chatkit/sessions", &headers, opening()).await?;
    opened.expect(201)?;
    detector.add("the key", &key);
    detector.add("the user", &caller.user.id.to_string());
    detector.add("the organisation", &caller.user.org_id.to_string());
    let result = detector.search(&stack).await?;
    for expected in [
        "the user in the response",
        "the organisation in the log",
        "the organisation in the table",
        "the key in the table",
    ] {
        let is_found = result.leaks.iter().any(|leak| leak.starts_with(expected));
        ensure!(is_found, "expected {expected}, found {result:#?}");
    }
    ensure!(result.expect_no_leaks().is_err(), "the detector ignores what it finds");
    Ok(())
}

/// A stack with the most detailed log.
fn with_trace_log() -> Builder {
    LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
}

fn opening() -> Option<Value> {
    Some(json!({ "agentId": AGENT, "metadata": { "locale": "en" } }))
}

fn event(kind: &str, payload: Value) -> Option<Value> {
    Some(json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload }))
}

/// Runs the maintenance jobs, records the report or the error, and returns whether they succeeded.
async fn run_maintenance(stack: &LocalStack, detector: &mut LeakDetector) -> bool {
    let outcome = stack.run_job("expire-sessions").await;
    let is_success = outcome.is_ok();
    detector.record_text(outcome.map_or_else(|error| format!("{error:#}"), |report| report.to_string()));
    is_success
}
