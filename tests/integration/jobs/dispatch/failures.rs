//! Failed calls: retries, unknown outcomes, dead letters and rejected addresses.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::agents::Fault;
use local_stack::{LocalStack, supabase};
use serde_json::json;
use uuid::Uuid;

use super::fixture::{
    DispatchFixture, TIMEOUT, auto_tool, delivery_states, executed, has_escalation, has_event,
};
use crate::support::client::AGENT;

#[tokio::test]
async fn retry_after_lost_connection_uses_the_same_key() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().drop_after().times(1));
    fixture.click(900).await?;
    fixture.wait_for(|session| has_event(session, "agent_result")).await?;
    let payments = executed(&stack, AGENT);
    ensure!(payments.len() == 1, "expected one payment: {payments:?}");
    let attempts: i32 = sqlx::query_scalar("select attempts from deliveries order by seq limit 1")
        .fetch_one(stack.database())
        .await?;
    ensure!(attempts == 2, "expected 2 attempts, found {attempts}");
    Ok(())
}

/// The tool is not idempotent, so the loss of the result would cause an unknown outcome.
#[tokio::test]
async fn result_is_recorded_after_a_supabase_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, json!({ "policy": "auto" })).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().delay(Duration::from_millis(1500)).times(1));
    fixture.click(900).await?;
    let first_call = async {
        while agent.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, first_call).await.context("the agent was not called")?;
    stack.supabase().set_fault(supabase::Fault::Unavailable).await;
    // The outage is longer than the retries of one request.
    tokio::time::sleep(Duration::from_secs(6)).await;
    stack.supabase().set_fault(supabase::Fault::None).await;
    fixture.wait_for(|session| has_event(session, "agent_result")).await?;
    let states = delivery_states(&stack).await?;
    ensure!(states.contains(&("done".to_owned(), None)), "expected a delivery that is done: {states:?}");
    let (payments, calls) = (executed(&stack, AGENT).len(), agent.calls().len());
    ensure!((payments, calls) == (1, 1), "expected one payment and one call, found {payments} and {calls}");
    Ok(())
}

#[tokio::test]
async fn permanent_failure_is_a_dead_letter_and_can_be_replayed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().status(400));
    fixture.click(900).await?;
    fixture.wait_for(|session| has_event(session, "agent_failed")).await?;
    let org_id = fixture.client.user.org_id;
    let (_, dead) = stack.rpc("list_dead_deliveries", json!({ "p_org_id": org_id, "p_limit": 10 })).await?;
    ensure!(dead["deliveries"][0]["error"] == "call_refused", "expected the error call_refused: {dead}");
    agent.clear_faults();
    let replay = json!({ "p_org_id": org_id, "p_delivery_id": dead["deliveries"][0]["id"] });
    let (_, response) = stack.rpc("replay_delivery", replay).await?;
    ensure!(response["replayed"] == true, "expected a replay: {response}");
    fixture.wait_for(|session| has_event(session, "agent_result")).await?;
    let payments = executed(&stack, AGENT);
    ensure!(payments.len() == 1, "expected one payment: {payments:?}");
    Ok(())
}

#[tokio::test]
async fn last_attempt_that_fails_is_a_dead_letter() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = start_with_two_attempts(&stack).await?;
    fixture.click(900).await?;
    fail_attempts(&stack, 2).await
}

#[tokio::test]
async fn lost_lease_of_the_last_attempt_is_a_dead_letter() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = start_with_two_attempts(&stack).await?;
    fixture.click(900).await?;
    for attempt in 1..=2 {
        let calls = stack.claim_deliveries().await?;
        ensure!(calls.len() == 1, "attempt {attempt}: expected one call, claimed {calls:#?}");
        sqlx::query("update deliveries set lease_until = now()").execute(stack.database()).await?;
    }
    let calls = stack.claim_deliveries().await?;
    ensure!(calls.is_empty(), "expected no third attempt, claimed {calls:#?}");
    let states = delivery_states(&stack).await?;
    ensure!(
        states == [("dead".to_owned(), Some("attempts_used_up".to_owned()))],
        "expected one dead letter: {states:?}"
    );
    Ok(())
}

#[tokio::test]
async fn replay_restores_all_attempts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = start_with_two_attempts(&stack).await?;
    fixture.click(900).await?;
    fail_attempts(&stack, 2).await?;
    let id: Uuid = sqlx::query_scalar("select id from deliveries").fetch_one(stack.database()).await?;
    let replay = json!({ "p_org_id": fixture.client.user.org_id, "p_delivery_id": id });
    let (_, response) = stack.rpc("replay_delivery", replay).await?;
    ensure!(response["replayed"] == true, "expected a replay: {response}");
    fail_attempts(&stack, 2).await
}

/// The fixture without a dispatcher. A delivery has two attempts.
async fn start_with_two_attempts(stack: &LocalStack) -> Result<DispatchFixture> {
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    let fixture = DispatchFixture::new(stack, auto_tool()).await?;
    sqlx::query("update agent_servers set max_attempts = 2").execute(stack.database()).await?;
    Ok(fixture)
}

/// Fails the attempts of the only delivery. It is pending before the last one, and dead after it.
async fn fail_attempts(stack: &LocalStack, attempts: usize) -> Result<()> {
    for attempt in 1..=attempts {
        sqlx::query("update deliveries set next_attempt_at = now()").execute(stack.database()).await?;
        let calls = stack.claim_deliveries().await?;
        ensure!(calls.len() == 1, "attempt {attempt}: expected one call, claimed {calls:#?}");
        stack.finish_delivery(&calls[0], json!({ "kind": "retry", "error": "unreachable" })).await?;
        let expected = if attempt < attempts { "pending" } else { "dead" };
        let states = delivery_states(stack).await?;
        ensure!(
            states == [(expected.to_owned(), Some("unreachable".to_owned()))],
            "attempt {attempt}: expected the status {expected}, found {states:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn unknown_outcome_is_escalated_and_not_retried() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, json!({ "policy": "auto" })).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.add_fault(Fault::on_calls().drop_after().times(1));
    fixture.click(900).await?;
    let session = fixture.wait_for(has_escalation).await?;
    let (payments, calls) = (executed(&stack, AGENT).len(), agent.calls().len());
    ensure!((payments, calls) == (1, 1), "expected one payment and one call, found {payments} and {calls}");
    let states = delivery_states(&stack).await?;
    ensure!(
        states == [("unknown".to_owned(), Some("connection_lost".to_owned()))],
        "expected one unknown outcome: {states:?} {session:#}"
    );
    Ok(())
}

#[tokio::test]
async fn private_agent_address_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let org_id = fixture.client.user.org_id;
    for url in [
        "https://169.254.169.254/latest",
        "https://10.0.0.7/mcp",
        "https://[::ffff:127.0.0.1]/mcp",
        "http://agents.example.com/mcp",
    ] {
        stack.register_agent_server(org_id, AGENT, url, None, auto_tool()).await?;
        fixture.click(900).await?;
    }
    let poll = async {
        while delivery_states(&stack).await?.iter().any(|(status, _)| status != "dead") {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, poll).await.context("a delivery did not become a dead letter")??;
    let errors: Vec<_> = delivery_states(&stack).await?.into_iter().filter_map(|(_, error)| error).collect();
    ensure!(
        errors.iter().all(|error| ["address_refused", "url_not_https"].contains(&error.as_str())),
        "expected rejected addresses: {errors:?}"
    );
    ensure!(errors.len() == 4, "expected 4 errors: {errors:?}");
    Ok(())
}
