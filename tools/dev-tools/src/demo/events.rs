//! Events: the clerk clicks a button and opens an escalation.

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Demo;
use super::printer::Printer;

pub async fn click(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk clicks a button, and the browser repeats the request").await;
    let click = event("button_click", json!({ "action": "show_invoice", "label": "Show invoice 42" }));
    let first = demo.clerk.post(printer, &events(demo), click.clone()).await?;
    printer.fields(&first.body, &["/events/0/seq", "/events/0/actorType", "/events/0/createdAt"]);
    printer.check_eq("the click is event 1", (201, &json!(1)), first_seq(&first))?;
    printer.check_eq(
        "the server sets the actor",
        Some(demo.clerk.user_id.as_str()),
        first.body["events"][0]["actorId"].as_str(),
    )?;
    let again = demo.clerk.post(printer, &events(demo), click.clone()).await?;
    printer.check_eq("the repeated click is the same event", first_seq(&first), first_seq(&again))?;
    let mut other = click;
    other["payload"]["action"] = "pay_invoice".into();
    let conflict = demo.clerk.post(printer, &events(demo), other).await?;
    printer.fields(&conflict.body, &["/code", "/detail"]);
    printer.check_eq("a different click with the same id is a conflict", 409, conflict.status)
}

pub async fn open_escalation(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk requests a human decision").await;
    let payload =
        json!({ "reason": "The amount differs from the order", "decisions": ["approve", "reject"] });
    let response = demo.clerk.post(printer, &events(demo), event("hitl_escalation", payload)).await?;
    printer.fields(&response.body, &["/events/0/seq", "/events/0/escalationId"]);
    printer.check_eq("the request is event 2", (201, &json!(2)), first_seq(&response))?;
    let opened = response.body["events"][0]["escalationId"].is_string();
    printer.check("an escalation is open", opened, &response.body)
}

/// A browser event, with an id that makes repetition safe.
pub fn event(kind: &str, payload: Value) -> Value {
    json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload })
}

pub fn events(demo: &Demo<'_>) -> String {
    format!("{}/events", demo.session)
}

fn first_seq(response: &super::browser::TestResponse) -> (u16, &Value) {
    (response.status, &response.body["events"][0]["seq"])
}
