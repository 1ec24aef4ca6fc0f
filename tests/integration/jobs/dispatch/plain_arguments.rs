//! Tools that receive their inputs as arguments, and the input schemas of tools.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use super::fixture::{DispatchFixture, auto_tool, delivery_states, executed, has_event};
use crate::support::client::AGENT;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};

/// The agent that receives the follow-ups.
const OTHER: &str = "tax_compliance";

/// The form of the inputs of a payment.
fn payment_schema() -> Value {
    json!({
        "type": "object", "required": ["invoice", "amount"],
        "properties": { "invoice": { "type": "string" }, "amount": { "type": "number" } },
    })
}

/// Adds fields to [`auto_tool`].
fn auto_tool_with(fields: Value) -> Value {
    let mut tool = auto_tool();
    if let (Some(tool), Value::Object(fields)) = (tool.as_object_mut(), fields) {
        tool.extend(fields);
    }
    tool
}

#[tokio::test]
async fn approval_of_a_plain_call_covers_its_form() -> Result<()> {
    let stack = LocalStack::start().await?;
    let plain = json!({ "arguments": "plain" });
    let fixture = EscalationFixture::new(&stack, plain.clone()).await?;
    let held = fixture.hold_payment(900).await?;
    let (subject, inputs) = (&held["subject"], &held["subject"]["inputs"]);
    ensure!(subject["arguments"] == "plain", "expected the form in the subject: {subject:#}");
    let expected = json!({ "action": "pay", "data": { "invoice": 42, "amount": 900 } });
    ensure!(*inputs == expected, "expected the event's payload as inputs, found {inputs}");
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;

    // The tool would receive something else than what was approved.
    fixture.register_pay_tool(json!({ "arguments": "envelope" })).await?;
    ensure!(fixture.claim_calls().await?.is_empty(), "an approval of a plain call released an envelope");
    let held = fixture.newest_escalation("policy").await?;
    let (subject, inputs) = (&held["subject"], &held["subject"]["inputs"]);
    ensure!(subject["arguments"].is_null() && inputs.is_null(), "expected an envelope: {subject:#}");

    fixture.register_pay_tool(plain).await?;
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    ensure!(fixture.claim_calls().await?.is_empty(), "an approval of an envelope released a plain call");
    let held = fixture.newest_escalation("policy").await?;
    decide(&fixture.approver, &held, "approve").await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    ensure!(calls.len() == 1 && calls[0]["arguments"] == "plain", "expected one plain call: {calls:#?}");
    Ok(())
}

#[tokio::test]
async fn plain_follow_up_without_inputs_has_empty_arguments() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({ "policy": "auto", "risk": "low" })).await?;
    let org_id = fixture.member.user.org_id;
    stack.register_agent(org_id, OTHER, "Tax").await?;
    let tool = json!({ "policy": "auto", "arguments": "plain" });
    stack.register_agent_tool(org_id, OTHER, tool).await?;
    let payload = json!({ "action": "pay" });
    fixture.member.record_event(&fixture.session, "button_click", payload).await?.expect(201)?;
    let calls = fixture.claim_calls().await?;
    let [call] = &calls[..] else { anyhow::bail!("expected one call: {calls:#?}") };
    let follow_up = json!({ "agent_id": OTHER, "objective": "Check" });
    stack.finish_delivery(call, json!({ "kind": "completed", "follow_ups": [follow_up] })).await?;
    let calls = fixture.claim_calls().await?;
    let [call] = &calls[..] else { anyhow::bail!("expected the follow-up: {calls:#?}") };
    let found = (&call["inputs"], &call["objective"]);
    ensure!(found == (&json!({}), &json!("Check")), "expected empty inputs: {call:#}");
    Ok(())
}

#[tokio::test]
async fn edit_must_match_the_input_schema() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fields =
        json!({ "input_schema": payment_schema(), "arguments": "plain", "amount_pointer": "/amount" });
    let fixture = EscalationFixture::new(&stack, fields.clone()).await?;
    // The author of an edit may not approve it.
    fixture.add_colleague(OrgRole::Approver).await?;
    let mut unreadable = fields;
    unreadable["refuse_above"] = json!(1000);
    for fields in [json!({ "input_schema": payment_schema() }), unreadable] {
        fixture.register_pay_tool(fields).await?;
        let held = fixture.hold_payment(900).await?;
        ensure!(held["answerSchema"] == payment_schema(), "expected the input schema: {held:#}");
        for (edit, pointer) in [
            (json!({ "invoice": "42" }), "/answer"),
            (json!({ "invoice": "42", "amount": "90" }), "/answer/amount"),
            (json!({ "invoice": 42, "amount": 90 }), "/answer/invoice"),
        ] {
            let problem = decide_with_answer(&fixture.approver, &held, "edit", edit)
                .await?
                .problem(422, "invalid_answer")?;
            ensure!(problem["errors"][0]["pointer"] == pointer, "expected {pointer}: {problem:#}");
        }
        let edit = json!({ "invoice": "42", "amount": 90 });
        decide_with_answer(&fixture.approver, &held, "edit", edit.clone()).await?.expect(200)?;
        let written = fixture.newest_escalation("policy").await?;
        ensure!(written["subject"]["inputs"] == edit, "expected the edited call: {written:#}");
        decide(&fixture.approver, &written, "reject").await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn call_with_invalid_inputs_is_not_sent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tool = auto_tool_with(json!({ "arguments": "plain", "input_schema": payment_schema() }));
    let fixture = DispatchFixture::new(&stack, tool).await?;
    // The payload has the invoice under `data`.
    fixture.click(900).await?;
    let session = fixture.wait_for(|session| has_event(session, "agent_failed")).await?;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    ensure!(agent.calls().is_empty(), "the agent was called: {:?}", agent.calls());
    let states = delivery_states(&stack).await?;
    ensure!(states == [("dead".to_owned(), Some("invalid_inputs".to_owned()))], "found {states:?}");
    let failure = session["events"].as_array().and_then(|events| {
        events.iter().find(|event| event["type"] == "agent_failed").map(|event| &event["payload"])
    });
    ensure!(failure.is_some_and(|failure| failure["error"] == "invalid_inputs"), "{session:#}");
    Ok(())
}

#[tokio::test]
async fn follow_up_with_invalid_inputs_is_refused() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let org_id = fixture.client.user.org_id;
    let mut other_schema = payment_schema();
    other_schema["properties"]["amount"]["type"] = json!("string");
    for (schema, refused) in [
        (other_schema, json!([{ "agentId": OTHER, "reason": "invalid_inputs" }])),
        (payment_schema(), Value::Null),
    ] {
        let called = executed(&stack, OTHER).len();
        // With the policy `ask`, a call that is not refused would be held for a person.
        let tool = auto_tool_with(json!({ "input_schema": schema, "policy": "ask" }));
        stack.register_agent_tool(org_id, OTHER, tool).await?;
        fixture.click(900).await?;
        let count = if refused.is_null() { 2 } else { 1 };
        let results = |session: &Value| -> Vec<Value> {
            let events = session["events"].as_array().into_iter().flatten();
            let results = events.filter(|event| event["type"] == "agent_result");
            results.map(|event| event["payload"]["followUpsRefused"].clone()).collect()
        };
        let session = fixture.wait_for(|session| results(session).len() == count).await?;
        let found = results(&session).pop().unwrap_or_default();
        ensure!(found == refused, "expected {refused}, found {found}");
        let open = session["escalations"].as_array().map_or(0, Vec::len);
        let is_held = fixture.wait_for(|session| !session["escalations"][0].is_null());
        if refused.is_null() {
            is_held.await?;
        } else {
            ensure!(open == 0, "a refused follow-up opened an escalation: {session:#}");
        }
        ensure!(executed(&stack, OTHER).len() == called, "the follow-up was executed");
    }
    Ok(())
}
