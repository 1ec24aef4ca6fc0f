//! OpenAI goes down and comes back, and the clerk ends the session.

use anyhow::Result;
use serde_json::{Value, json};

use super::Play;
use super::conversation::{event, events};
use super::printer::Stage;
use local_stack::openai::{Fault, SessionSnapshot, SessionStatus};

pub async fn openai_down(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("OpenAI is down for a while").await;
    let outage = play.stack.openai().fault(Fault::everywhere().status(503));
    let reply = play.clerk.get(stage, &play.session).await?;
    stage.shows(&reply.body, &["/chatkit"]);
    stage.promise("a session is read all the same", 200, reply.status)?;
    stage.promise("and says that ChatKit is away", &json!(false), &reply.body["chatkit"]["available"])?;
    let reply =
        play.clerk.post(stage, &events(play), event("feedback", json!({ "rating": "positive" }))).await?;
    stage.promise("events are recorded all the same", 201, reply.status)?;
    let reply = play.clerk.post(stage, "/chatkit/sessions", json!({ "agentId": "tax_compliance" })).await?;
    stage.shows(&reply.body, &["/code", "/detail"]);
    let answer = (reply.status, !reply.header("retry-after").is_empty());
    stage.promise("only a new secret has to wait, and the answer says how long", (503, true), answer)?;
    play.stack.openai().clear(outage);
    Ok(())
}

pub async fn list(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("OpenAI is back; the clerk lists what is open").await;
    let reply = play.clerk.get(stage, "/chatkit/sessions?status=active").await?;
    stage.shows(&reply.body, &["/sessions/0/id", "/sessions/0/agentId", "/sessions/0/lastActivityAt"]);
    let only = (reply.count("/sessions"), reply.text("/sessions/0/id")?);
    stage.promise("it is the one session, and no half-opened one", (1, play.session_id.clone()), only)
}

pub async fn cancel(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk ends the session").await;
    let path = format!("{}/cancel", play.session);
    let ended = play.clerk.post(stage, &path, Value::Null).await?;
    stage.shows(&ended.body, &["/status", "/endReason", "/endedAt"]);
    stage.promise("it has ended", (200, &json!("ended")), (ended.status, &ended.body["status"]))?;
    let again = play.clerk.post(stage, &path, Value::Null).await?;
    stage.promise("ending it again answers the same", (200, &ended.body), (again.status, &again.body))?;
    let upstream = play.stack.openai().sessions();
    let living = |session: &&SessionSnapshot| session.status == SessionStatus::Active;
    let users: Vec<&String> = upstream.iter().filter(living).map(|session| &session.user).collect();
    stage.promise("one session is left alive at OpenAI", 1, users.len())?;
    stage.promise_that("the stranger's", *users[0] != upstream[0].user, users)
}

pub async fn too_late(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("Too late").await;
    stage.asks("the clerk", "says to ChatKit, with the old client secret", &json!("One more thing …"));
    let said = play.stack.openai().say(&play.client_secret, Some(&play.thread_id), "One more thing …").await;
    stage.promise("the secret is dead", Some(401), said.err().and_then(|refused| refused.status))?;
    let reply =
        play.clerk.post(stage, &events(play), event("button_click", json!({ "action": "late" }))).await?;
    stage.promise(
        "an ended session takes no events",
        (409, "session_ended"),
        (reply.status, &reply.text("/code")?),
    )?;
    let reply = play.clerk.get(stage, &play.session).await?;
    let last = reply.body["events"].as_array().and_then(|events| events.last()).cloned().unwrap_or_default();
    stage.detail("last event", &format!("{} {} by {}", last["type"], last["payload"], last["actorType"]));
    stage.promise("the end is on record", &json!("session_ended"), &last["type"])?;
    stage.promise("and nobody waits for a decision any more", 0, reply.count("/escalations"))
}
