//! The id of a request, in its response and in the log.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

use crate::support::client::TestClient;

#[tokio::test]
async fn request_id_of_response_is_that_of_its_log_line() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let mut responses = Vec::new();
    for (path, status) in [(session.as_str(), 200), ("/chatkit/sessions/7", 400), (session.as_str(), 200)] {
        let response = caller.get(path).await?;
        let id = response.headers.get("x-request-id").context("no X-Request-Id")?.to_str()?.to_owned();
        ensure!(response.status == status, "{path}: expected {status}, found {response:?}");
        ensure!(
            status == 200 || response.body["requestId"] == id.as_str(),
            "{path}: expected the request id {id}, found {response:?}"
        );
        responses.push((id, status));
    }
    ensure!(responses[0].0 != responses[2].0, "two requests have the id {}", responses[0].0);
    let lines: Vec<Value> =
        stack.final_logs().await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (id, status) in responses {
        let of_request: Vec<_> = lines.iter().filter(|line| line["request_id"] == id.as_str()).collect();
        let of_response: Vec<_> = of_request
            .iter()
            .filter(|line| line["status"] == status && line["duration_ms"].is_number())
            .collect();
        ensure!(!of_response.is_empty(), "no line with the status {status} of {id}: {of_request:#?}");
        ensure!(
            of_response.iter().all(|line| line["route"] == "/chatkit/sessions/{id}"),
            "expected the route /chatkit/sessions/{{id}}, found {of_response:#?}"
        );
    }
    Ok(())
}
