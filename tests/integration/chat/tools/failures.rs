//! Calls that fail, and calls whose outcome is not known.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use local_stack::model::Script;
use serde_json::json;

use super::fixture::{ToolPage, output, pay, tasks};
use crate::chat::fixture::text;

#[tokio::test]
async fn failure_is_reported_to_the_model_without_an_escalation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let failed = json!({ "structuredContent": { "status": "failed", "message": "The bank is closed." }, "content": [] });
    for (fault, said, error) in [
        (Fault::on_calls().result(failed).times(1), "The bank is closed.", "agent_failed"),
        (Fault::everywhere().status(403).times(10), r#""status":"failed""#, "unauthorized"),
    ] {
        tools.agent().add_fault(fault);
        stack.model().script(pay(42, 900));
        stack.model().script(Script::new().text("It failed."));
        let view = tools.ask("Pay invoice 42").await?;
        ensure!(view.answer() == "It failed." && tasks(&view) == ["Failed."], "{view:#?}");
        let output = output(&tools.last_input()?)?;
        ensure!(output.contains(said) && output.contains(error), "{output}");
        let last = tools.deliveries().await?.pop().unwrap();
        ensure!(last == format!("withdrawn {error}"), "{last}");
        tools.agent().clear_faults();
    }
    ensure!(tools.count("select count(*) from chat_escalations").await? == 0, "an escalation was opened");
    ensure!(tools.agent().actions().is_empty());
    // An operator who replayed a failed call would have it made after the model has gone on.
    let listed = json!({ "p_org_id": tools.org_id, "p_limit": 10 });
    let (_, listed) = stack.rpc("list_dead_deliveries", listed).await?;
    ensure!(listed["deliveries"] == json!([]), "{listed}");
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from deliveries").fetch_all(stack.database()).await?;
    for id in ids {
        let replay = json!({ "p_org_id": tools.org_id, "p_delivery_id": id });
        let (status, body) = stack.rpc("replay_delivery", replay).await?;
        ensure!(status == 409 && body["message"] == "delivery_not_dead", "{status} {body}");
    }
    let events = "select count(*) from chat_events where type = 'agent_failed' and actor_type = 'agent'";
    ensure!(tools.count(events).await? == 2, "the session's log has both failures");
    let (_, state) = stack.rpc("service_state", json!({})).await?;
    ensure!(state["dead_deliveries"] == 0, "{state}");
    Ok(())
}

#[tokio::test]
async fn call_that_did_not_reach_the_agent_is_repeated_with_its_key() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let fault = tools.agent().add_fault(Fault::on_calls().status(503).times(2));
    stack.model().script(pay(42, 900));
    stack.model().script(Script::new().text("Paid."));
    let view = tools.ask("Pay invoice 42").await?;
    ensure!(tasks(&view) == ["Done."] && tools.agent().hits(fault) == 2, "{view:#?}");
    ensure!(tools.deliveries().await? == ["done"] && tools.agent().actions().len() == 1);
    Ok(())
}

/// The call may have been executed, so a person decides whether it is made again.
#[tokio::test]
async fn unknown_outcome_is_reported_as_unknown_and_a_person_is_asked() -> Result<()> {
    let stack = LocalStack::start().await?;
    for fault in [Fault::on_calls().drop_after(), Fault::on_calls().delay_response(Duration::from_secs(7))] {
        let tools = ToolPage::open(&stack, json!({})).await?;
        let before = tools.agent().actions().len();
        tools.agent().add_fault(fault.times(1));
        stack.model().script(pay(42, 900));
        stack.model().script(Script::new().text("I do not know."));
        let view = tools.ask("Pay invoice 42").await?;
        ensure!(tasks(&view) == ["It is not known whether this was done."], "{view:#?}");
        ensure!(view.answer() == "I do not know.", "{view:#?}");
        let said = output(&tools.last_input()?)?;
        ensure!(said.contains(r#""status":"unknown""#), "{said}");
        let [delivery] = &tools.deliveries().await?[..] else { panic!("one delivery") };
        ensure!(delivery.starts_with("unknown "), "{delivery}");
        let approver = tools.approver().await?;
        ensure!(tools.escalation(&approver).await?["kind"] == "outcome_unknown");
        ensure!(tools.agent().actions().len() == before + 1, "the call is made once");

        // The same call is not begun again before the decision.
        stack.model().script(pay(42, 900));
        stack.model().script(Script::new().text("I may not."));
        let thread_id = text(&view.thread["id"]);
        tools.page.chat.add_message(&thread_id, "Pay it!").await?.finish().await?;
        let input = json!(tools.last_input()?).to_string();
        ensure!(input.contains("call_under_way"), "{input}");
        ensure!(tools.agent().actions().len() == before + 1, "the call is made twice");
        tools.agent().clear_faults();
    }
    Ok(())
}

/// The lease of a run is shorter than a call may take.
#[tokio::test]
async fn answer_is_saved_while_a_tool_is_slow() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    tools.agent().add_fault(Fault::on_calls().delay(Duration::from_secs(3)).times(1));
    stack.model().script(pay(42, 900));
    stack.model().script(Script::new().text("Paid."));
    let mut stream = tools.page.chat.create_thread("Pay invoice 42").await?;
    stream.until("thread.item.added").await?;
    let lease = "select extract(epoch from max(lease_until))::bigint from chat_runs where status = 'running'";
    let first = tools.count(lease).await?;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let second = tools.count(lease).await?;
    ensure!(second > first, "the lease is not renewed: {first} {second}");
    let view = local_stack::chat_client::ThreadView::from_events(&stream.finish().await?)?;
    ensure!(view.answer() == "Paid." && tasks(&view) == ["Done."], "{view:#?}");
    Ok(())
}
