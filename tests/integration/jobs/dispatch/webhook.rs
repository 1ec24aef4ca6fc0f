//! The triggers of `route-events`: the database webhook and the schedule.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::{LocalStack, http};
use serde_json::{Value, json};

use super::fixture::{DispatchFixture, auto_tool, executed};

#[tokio::test]
async fn webhook_requires_its_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let url = stack.function_url("route-events");
    let send = async |method: Method, secret: &str| -> Result<(u16, Value)> {
        let request = http::client().request(method, &url).header("x-webhook-secret", secret);
        let response =
            request.body("{\"type\":\"INSERT\",\"record\":{\"agent_id\":\"mine\"}}").send().await?;
        let (status, text) = (response.status().as_u16(), response.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    };
    let secret = stack.environment().all_variables()["DATABASE_WEBHOOK_SECRET"].clone();
    for invalid in ["", "secret", &secret[1..], &secret.to_uppercase()] {
        let (status, problem) = send(Method::POST, invalid).await?;
        ensure!(
            (status, &problem["code"]) == (401, &json!("webhook_secret_refused")),
            "expected a rejected secret, found {status} {problem}"
        );
    }
    let (status, _) = send(Method::GET, &secret).await?;
    ensure!(status == 405, "expected 405 for GET, found {status}");
    let (status, _) = send(Method::POST, &secret).await?;
    ensure!(status == 204, "expected 204 for POST, found {status}");
    Ok(())
}

#[tokio::test]
async fn schedule_dispatches_events_without_webhook() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    fixture.click(900).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 2 && report["done"] == 2, "expected two completed calls: {report}");
    let executed = executed(&stack, "tax_compliance");
    ensure!(executed.len() == 1, "expected one operation of the follow-up: {executed:?}");
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 0, "expected no second call: {report}");
    Ok(())
}
