//! Answers that are stopped or killed during a call.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::agents::Fault;
use local_stack::chat_client::{ChatStream, ThreadView};
use local_stack::model::Script;
use serde_json::{Value, json};

use super::fixture::{ToolPage, output, pay, tasks, texts};
use crate::chat::fixture::{expire_leases, text};
use crate::support::escalations::decide;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Begins a call that takes a while, and waits until the agent has it.
async fn begin_call(tools: &ToolPage<'_>, fault: Fault) -> Result<ChatStream> {
    tools.agent().add_fault(fault.times(1));
    tools.stack.model().script(pay(42, 900));
    let stream = tools.page.chat.create_thread("Pay invoice 42").await?;
    let started = Instant::now();
    while tools.agent().calls().is_empty() {
        ensure!(started.elapsed() < TIMEOUT, "the agent was not called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(stream)
}

#[tokio::test]
async fn stopped_answer_finishes_and_records_its_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let mut stream = begin_call(&tools, Fault::on_calls().delay(Duration::from_secs(4))).await?;
    let path = format!("/chatkit/sessions/{}/stop", tools.page.session_id);
    let started = Instant::now();
    tools.page.user.send(Method::POST, &path, &[], None).await?.expect(200)?;
    loop {
        let event = stream.until("thread.item.done").await?;
        if event["item"]["task"]["title"] == "Stopped." {
            break;
        }
    }
    ensure!(started.elapsed() < Duration::from_millis(3500), "the stop waits for the call");
    let view = ThreadView::from_events(&stream.finish().await?)?;
    ensure!(tasks(&view)[0] == "The answer ended before the result was known.", "{view:#?}");
    ensure!(tools.deliveries().await? == ["done"] && tools.agent().actions().len() == 1);
    ensure!(tools.page.chat.items(&text(&view.thread["id"])).await? == view.items());
    // The model learns the result with the next message.
    let said = output(&tools.ask_more(&view, "What happened?").await?)?;
    ensure!(said.contains("completed") && said.contains("Invoice 42 is paid."), "{said}");
    Ok(())
}

#[tokio::test]
async fn killed_call_is_not_repeated_and_a_person_is_asked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let mut stream = begin_call(&tools, Fault::on_calls().delay_response(Duration::from_secs(4))).await?;
    stack.lambda().function("serve-chatkit")?.kill();
    while let Ok(Some(_)) = stream.next().await {}
    let report = stack.run_job("route-events").await?;
    ensure!(
        report["called"] == 0 && tools.deliveries().await? == ["running"],
        "before the lease is over: {report}"
    );

    expire_leases(&stack).await?;
    tools.execute("update deliveries set lease_until = clock_timestamp()").await?;
    // The page repeats the request, which takes up the broken answer.
    stack.model().script(Script::new().text("I do not know whether it is paid."));
    let view = tools.ask("Pay invoice 42").await?;
    ensure!(view.answer() == "I do not know whether it is paid.", "{view:#?}");
    let said = output(&tools.last_input()?)?;
    ensure!(said.contains(r#""status":"unknown""#), "{said}");

    stack.run_job("route-events").await?;
    ensure!(tools.deliveries().await? == ["unknown lease_over"], "{:?}", tools.deliveries().await?);
    let approver = tools.approver().await?;
    ensure!(tools.escalation(&approver).await?["kind"] == "outcome_unknown");
    let input = tools.ask_more(&view, "And now?").await?;
    ensure!(texts(&input).contains("lease_over"), "{input:#?}");
    ensure!(tools.agent().actions().len() == 1, "the call is made once");
    Ok(())
}

#[tokio::test]
async fn killed_call_of_an_idempotent_tool_is_repeated_with_its_key() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "idempotent": true })).await?;
    let mut stream = begin_call(&tools, Fault::on_calls().delay_response(Duration::from_secs(4))).await?;
    stack.lambda().function("serve-chatkit")?.kill();
    while let Ok(Some(_)) = stream.next().await {}
    expire_leases(&stack).await?;
    tools.execute("update deliveries set lease_until = clock_timestamp()").await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 1 && report["done"] == 1, "{report}");
    let keys: Vec<_> =
        tools.agent().calls().iter().map(|call| call.arguments()["idempotencyKey"].clone()).collect();
    ensure!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    ensure!(tools.agent().actions().len() == 1, "the call has one effect");

    // The model gets the result as a note, and the call has one output.
    let threads = tools.page.chat.json("threads.list", json!({})).await?;
    let thread_id = text(&threads["data"][0]["id"]);
    stack.model().script(Script::new().text("It is paid."));
    tools.page.chat.add_message(&thread_id, "Is it paid?").await?.finish().await?;
    let input = tools.last_input()?;
    ensure!(output(&input)?.contains(r#""status":"unknown""#), "{input:#?}");
    ensure!(texts(&input).contains("Invoice 42 is paid."), "{input:#?}");
    Ok(())
}

/// A dispatcher takes over the call of a killed turn. Returns the call and what the page shows.
async fn take_over(tools: &ToolPage<'_>) -> Result<(Value, ThreadView)> {
    let stack = tools.stack;
    let mut stream = begin_call(tools, Fault::on_calls().delay_response(Duration::from_secs(4))).await?;
    stack.lambda().function("serve-chatkit")?.kill();
    while let Ok(Some(_)) = stream.next().await {}
    expire_leases(stack).await?;
    tools.execute("update deliveries set lease_until = clock_timestamp()").await?;
    stack.model().script(Script::new().text("I do not know."));
    let view = tools.ask("Pay invoice 42").await?;
    let calls = stack.claim_deliveries().await?;
    ensure!(calls.len() == 1, "{calls:#?}");
    Ok((calls[0].clone(), view))
}

#[tokio::test]
async fn failed_call_that_a_person_may_repeat_is_not_begun_again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "idempotent": true })).await?;
    let (call, view) = take_over(&tools).await?;
    stack.finish_delivery(&call, json!({ "kind": "failed", "error": "agent_failed" })).await?;
    ensure!(tools.deliveries().await? == ["dead agent_failed"], "{:?}", tools.deliveries().await?);
    let approver = tools.approver().await?;
    let escalation = tools.escalation(&approver).await?;
    ensure!(escalation["kind"] == "agent_failed", "{escalation:#}");
    stack.model().script(pay(42, 900));
    let input = tools.ask_more(&view, "Pay it again").await?;
    ensure!(texts(&input).contains("call_under_way"), "{input:#?}");
    ensure!(tools.deliveries().await?.len() == 1, "{:?}", tools.deliveries().await?);

    // After the decision it may be.
    decide(&approver, &escalation, "reject").await?.expect(200)?;
    stack.model().script(pay(42, 900));
    tools.ask_more(&view, "Pay it once more").await?;
    let deliveries = tools.deliveries().await?;
    ensure!(deliveries == ["dead agent_failed", "done"], "{deliveries:?}");
    Ok(())
}

#[tokio::test]
async fn call_whose_attempts_are_used_up_is_a_note() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "idempotent": true })).await?;
    tools.execute("update agent_servers set max_attempts = 2").await?;
    let (_, view) = take_over(&tools).await?;
    // The dispatcher stops too.
    tools.execute("update deliveries set lease_until = clock_timestamp()").await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 0, "{report}");
    let deliveries = tools.deliveries().await?;
    ensure!(deliveries == ["dead attempts_used_up"], "{deliveries:?}");
    let input = tools.ask_more(&view, "And now?").await?;
    ensure!(texts(&input).contains("attempts_used_up"), "{input:#?}");
    Ok(())
}

#[tokio::test]
async fn retried_answer_still_knows_of_its_calls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    stack.model().script(pay(42, 900));
    stack.model().script(Script::new().text("Paid."));
    let view = tools.ask("Pay invoice 42").await?;
    stack.model().script(Script::new().text("It is already paid."));
    let retry = json!({ "thread_id": view.thread["id"], "item_id": view.items()[0]["id"] });
    let events = tools.page.chat.stream("threads.retry_after_item", retry).await?.finish().await?;
    let mut view = view;
    view.apply_all(&events)?;
    ensure!(view.items().len() == 2 && view.answer() == "It is already paid.", "{view:#?}");
    let input = tools.last_input()?;
    ensure!(output(&input)?.contains("Invoice 42 is paid."), "{input:#?}");
    ensure!(!texts(&input).contains("\"Paid.\""), "the replaced answer is gone: {input:#?}");
    Ok(())
}

#[tokio::test]
async fn result_of_a_cancelled_session_is_recorded() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    let stream = begin_call(&tools, Fault::on_calls().delay(Duration::from_secs(3))).await?;
    tools.page.user.cancel(&format!("/chatkit/sessions/{}", tools.page.session_id)).await?.expect(200)?;
    stream.finish().await?;
    ensure!(tools.deliveries().await? == ["done"] && tools.agent().actions().len() == 1);
    Ok(())
}
