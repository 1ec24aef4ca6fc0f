//! OpenAI is unavailable and recovers, and the clerk cancels the session.

use anyhow::Result;
use serde_json::{Value, json};

use super::events::{event, events};
use super::printer::Printer;
use super::{Demo, chat};
use local_stack::openai::Fault;

pub async fn openai_down(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("OpenAI is unavailable").await;
    let outage = demo.stack.openai().add_fault(Fault::everywhere().status(503));
    let response = demo.clerk.get(printer, &demo.session).await?;
    printer.check_eq("the session can still be read", 200, response.status)?;
    chat::ask(printer, demo, "Are you still there?").await?;
    let response =
        demo.clerk.post(printer, &events(demo), event("feedback", json!({ "rating": "positive" }))).await?;
    printer.check_eq("events are still recorded", 201, response.status)?;
    let response =
        demo.clerk.post(printer, "/chatkit/sessions", json!({ "agentId": "tax_compliance" })).await?;
    printer.fields(&response.body, &["/code", "/detail"]);
    let answer = (response.status, !response.header("retry-after").is_empty());
    printer.check_eq(
        "only a client secret for an agent at OpenAI is rejected, with Retry-After",
        (503, true),
        answer,
    )?;
    demo.stack.openai().clear(outage);
    Ok(())
}

pub async fn list(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("OpenAI is available again; the clerk lists the active sessions").await;
    let response = demo.clerk.get(printer, "/chatkit/sessions?status=active").await?;
    printer.fields(&response.body, &["/sessions/0/id", "/sessions/0/agentId", "/sessions/0/lastActivityAt"]);
    let only = (response.count("/sessions"), response.text("/sessions/0/id")?);
    printer.check_eq(
        "the list has one session; the rejected request left none",
        (1, demo.session_id.clone()),
        only,
    )
}

pub async fn cancel(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk cancels the session").await;
    let path = format!("{}/cancel", demo.session);
    let ended = demo.clerk.post(printer, &path, Value::Null).await?;
    printer.fields(&ended.body, &["/status", "/endReason", "/endedAt"]);
    printer.check_eq(
        "the session has ended",
        (200, &json!("ended")),
        (ended.status, &ended.body["status"]),
    )?;
    let again = demo.clerk.post(printer, &path, Value::Null).await?;
    printer.check_eq(
        "a repeated request returns the same response",
        (200, &ended.body),
        (again.status, &again.body),
    )?;
    Ok(())
}

pub async fn after_the_end(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("Requests after the end are rejected").await;
    printer.request(
        "the clerk",
        "lists the threads with the old client secret",
        &json!({ "type": "threads.list" }),
    );
    let (status, problem) = demo.chat.call("threads.list", json!({})).await?;
    printer.detail("code", problem["code"].as_str().unwrap_or_default());
    printer.check_eq("the client secret is invalid", 401, status.as_u16())?;
    let response =
        demo.clerk.post(printer, &events(demo), event("button_click", json!({ "action": "late" }))).await?;
    printer.check_eq(
        "an ended session does not accept events",
        (409, "session_ended"),
        (response.status, &response.text("/code")?),
    )?;
    let response = demo.clerk.get(printer, &demo.session).await?;
    let last =
        response.body["events"].as_array().and_then(|events| events.last()).cloned().unwrap_or_default();
    printer.detail("last event", &format!("{} {} by {}", last["type"], last["payload"], last["actorType"]));
    printer.check_eq("the end is recorded as an event", &json!("session_ended"), &last["type"])?;
    printer.check_eq("no escalation is open", 0, response.count("/escalations"))
}
