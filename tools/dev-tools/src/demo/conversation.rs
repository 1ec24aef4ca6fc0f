//! The clerk talks with the agent, clicks, and asks for a person.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Play;
use super::printer::Stage;

pub async fn talk(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk talks with the agent, from browser to OpenAI, past us").await;
    let text = "Is invoice 42 paid?";
    stage.asks("the clerk", "says to ChatKit, with the client secret", &text.into());
    let said = play.stack.openai().say(&play.client_secret, None, text).await;
    let said = said.map_err(|refused| anyhow!("ChatKit did not take the message: {refused:?}"))?;
    stage.detail("thread", &said.thread_id);
    stage.promise(
        "the client secret works: a message and an answer are in a thread",
        2,
        said.item_ids.len(),
    )?;
    play.thread_id = said.thread_id;

    let event = event("thread_changed", json!({ "threadId": play.thread_id }));
    let reply = play.clerk.post(stage, &events(play), event).await?;
    stage.promise("the page tells us which thread, and that is event 1", (201, &json!(1)), first_seq(&reply))
}

pub async fn click(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk clicks a button, and the network makes the browser try again").await;
    let click = event("button_click", json!({ "action": "show_invoice", "label": "Show invoice 42" }));
    let first = play.clerk.post(stage, &events(play), click.clone()).await?;
    stage.shows(&first.body, &["/events/0/seq", "/events/0/actorType", "/events/0/createdAt"]);
    stage.promise("the click is event 2", (201, &json!(2)), first_seq(&first))?;
    stage.promise(
        "who clicked is ours to say",
        Some(play.clerk.user_id.as_str()),
        first.body["events"][0]["actorId"].as_str(),
    )?;
    let again = play.clerk.post(stage, &events(play), click.clone()).await?;
    stage.promise("the same click again is the same event", first_seq(&first), first_seq(&again))?;
    let mut other = click;
    other["payload"]["action"] = "pay_invoice".into();
    let conflict = play.clerk.post(stage, &events(play), other).await?;
    stage.shows(&conflict.body, &["/code", "/detail"]);
    stage.promise("another click under the same id is a conflict", 409, conflict.status)
}

pub async fn ask_for_a_person(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk asks for a person").await;
    let payload =
        json!({ "reason": "The amount differs from the order", "decisions": ["approve", "reject"] });
    let reply = play.clerk.post(stage, &events(play), event("hitl_escalation", payload)).await?;
    stage.shows(&reply.body, &["/events/0/seq", "/events/0/escalationId"]);
    stage.promise("the wish is event 3", (201, &json!(3)), first_seq(&reply))?;
    let opened = reply.body["events"][0]["escalationId"].is_string();
    stage.promise_that("an escalation is open", opened, &reply.body)
}

/// An event of the page, with an id that makes repeating it harmless.
pub fn event(kind: &str, payload: Value) -> Value {
    json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload })
}

pub fn events(play: &Play<'_>) -> String {
    format!("{}/events", play.session)
}

fn first_seq(reply: &super::browser::TestResponse) -> (u16, &Value) {
    (reply.status, &reply.body["events"][0]["seq"])
}
