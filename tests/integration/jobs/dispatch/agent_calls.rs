//! Calls of agents: their arguments, their results, and the escalations that they cause.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::SessionStatus;
use serde_json::{Value, json};

use super::fixture::{DispatchFixture, TIMEOUT, auto_tool, executed, has_escalation, has_event};
use crate::support::client::{AGENT, session_path};
use crate::support::project_files;

#[tokio::test]
async fn event_calls_the_agent_and_records_its_result() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let event = fixture.click(900).await?["events"][0].clone();
    let has_two_tasks = |session: &Value| session["tasks"].as_array().is_some_and(|tasks| tasks.len() == 2);
    let session = fixture.wait_for(has_two_tasks).await?;
    let webhook_calls = stack.webhook().context("the stack has no webhook")?.calls();
    ensure!(webhook_calls > 0, "expected a call of the webhook");
    let payments = executed(&stack, AGENT);
    ensure!(
        payments.len() == 1 && json!(payments[0].0) == event["id"],
        "expected one payment with the event's id as key: {payments:?}"
    );
    ensure!(
        payments[0].1 == json!({ "invoice": "42", "amount": 900.0 }),
        "expected the data of the event: {payments:?}"
    );
    ensure!(
        has_event(&session, "agent_result") && has_event(&session, "agent_follow_up"),
        "expected a result and a follow-up: {session:#}"
    );
    ensure!(session["tasks"][0]["status"] == "completed", "expected a completed task: {session:#}");
    let messages = fixture.messages().await?;
    ensure!(
        messages == ["Invoice 42 is paid.", "The VAT of invoice 42 is right."],
        "expected the messages of both agents: {messages:?}"
    );
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    let call = format!("{:?}", agent.calls().pop().context("the agent was not called")?);
    ensure!(!call.contains(&fixture.client.token), "the call contains the user's token");
    check_against_openapi(&stack)
}

#[tokio::test]
async fn approval_by_a_colleague_continues_the_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    fixture.click(12_000).await?;
    let session = fixture.wait_for(has_escalation).await?;
    ensure!(executed(&stack, AGENT).is_empty(), "the payment was made without an approval");
    ensure!(
        session["tasks"][0]["status"] == "blocked" && session["tasks"][0]["requiresHitl"] == true,
        "expected a blocked task: {session:#}"
    );
    fixture.decide(&stack, "approve", None).await?;
    fixture.wait_for(|session| has_event(session, "agent_follow_up")).await?;
    let payments = executed(&stack, AGENT);
    ensure!(
        payments.len() == 1 && payments[0].1["amount"] == 12_000.0,
        "expected the approved payment: {payments:?}"
    );
    check_against_openapi(&stack)
}

#[tokio::test]
async fn mcp_elicitation_is_answered_and_continues_the_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.use_input_required(true);
    fixture.click(12_000).await?;
    let session = fixture.wait_for(has_escalation).await?;
    ensure!(executed(&stack, AGENT).is_empty(), "the payment was made without an answer");
    let decisions = session["escalations"][0]["decisions"].clone();
    ensure!(
        decisions == json!(["respond", "reject"]),
        "expected the decisions respond and reject, found {decisions}"
    );
    fixture.decide(&stack, "respond", Some(json!({ "costCentre": "4711" }))).await?;
    fixture.wait_for(|session| has_event(session, "agent_follow_up")).await?;
    let payments = executed(&stack, AGENT);
    ensure!(payments.len() == 1, "expected one payment: {payments:?}");
    Ok(())
}

#[tokio::test]
async fn policy_ask_delays_the_call_until_approval() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, json!({ "idempotent": true, "policy": "ask" })).await?;
    fixture.click(900).await?;
    fixture.wait_for(has_escalation).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    ensure!(agent.calls().is_empty(), "the agent was called without an approval");
    fixture.decide(&stack, "approve", None).await?;
    fixture.wait_for(|session| has_event(session, "agent_result")).await?;
    let payments = executed(&stack, AGENT);
    ensure!(payments.len() == 1, "expected one payment: {payments:?}");
    Ok(())
}

#[tokio::test]
async fn handover_passes_the_summary_and_cancels_old_secrets() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let payload = json!({ "action": "forecast", "data": { "invoice": "42" } });
    fixture
        .client
        .record_event(&session_path(&fixture.session), "button_click", payload)
        .await?
        .expect(201)?;
    fixture.wait_for(|session| session["agentId"] == "cfo_strategy").await?;
    let poll = async {
        while executed(&stack, "cfo_strategy").is_empty() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, poll).await.context("the new agent was not called")?;
    let arguments = executed(&stack, "cfo_strategy").remove(0).1;
    ensure!(
        arguments["summary"] == "Invoice 42 is on the table.",
        "expected the summary of the handover: {arguments}"
    );
    let sessions = stack.openai().sessions();
    ensure!(
        sessions.iter().all(|session| session.status != SessionStatus::Active),
        "a client secret of the former agent is still valid"
    );
    Ok(())
}

/// Checks that the calls and results of all agents conform to `docs/openapi.yaml`.
fn check_against_openapi(stack: &LocalStack) -> Result<()> {
    let document = project_files::Document::read()?;
    for agent in stack.agents().iter() {
        for call in agent.calls() {
            document.check_component("AgentCall", call.arguments())?;
        }
        for result in agent.responses() {
            document.check_component("AgentResult", &result)?;
        }
    }
    Ok(())
}
