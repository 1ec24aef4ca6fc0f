//! Who else looks: the clerk's second device, a colleague, and somebody of another organisation.

use anyhow::Result;
use http_client::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Play;
use super::printer::Stage;

pub async fn second_device(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk goes on with a telephone, which calls the functions' own URLs").await;
    let telephone = play.clerk.elsewhere("telephone", play.stack.function_url("get-session"));
    let reply = telephone.get(stage, &play.session).await?;
    stage.shows(&reply.body, &["/status", "/chatkit/threads/0/id", "/escalations/0/reason"]);
    stage.detail("etag", reply.header("etag"));
    stage.promise(
        "the session is there",
        (200, play.session_id.as_str()),
        (reply.status, &reply.text("/id")?),
    )?;
    stage.promise("with its thread", play.thread_id.as_str(), &reply.text("/chatkit/threads/0/id")?)?;
    let kinds: Vec<_> = reply.body["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["type"].as_str())
        .collect();
    stage.promise(
        "with its events, each once, in order",
        vec!["thread_changed", "button_click", "hitl_escalation"],
        kinds,
    )?;
    stage.promise("with the open escalation", 1, reply.count("/escalations"))?;

    let etag = reply.header("etag").to_owned();
    let unchanged =
        telephone.send(stage, Method::GET, &play.session, &[("if-none-match", &etag)], Value::Null).await?;
    stage.promise(
        "unchanged, it is not sent again",
        (304, &Value::Null),
        (unchanged.status, &unchanged.body),
    )?;

    let telephone = play.clerk.elsewhere("telephone", play.stack.function_url("create-session"));
    let resume = json!({ "sessionId": play.session_id, "purpose": "resume" });
    let reply = telephone.post(stage, "/chatkit/sessions", resume).await?;
    stage.shows(&reply.body, &["/id", "/chatkit/clientSecret"]);
    stage.promise(
        "the telephone gets the same session",
        (200, play.session_id.as_str()),
        (reply.status, &reply.text("/id")?),
    )?;
    let said = play
        .stack
        .openai()
        .say(&reply.text("/chatkit/clientSecret")?, Some(&play.thread_id), "And invoice 43?")
        .await;
    stage.promise_that("and a secret with which the conversation goes on", said.is_ok(), said)
}

pub async fn colleague(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("An approver of the same organisation looks on").await;
    let reply = play.approver.get(stage, "/chatkit/sessions?scope=organisation").await?;
    stage.promise(
        "an approver sees the organisation's sessions",
        (200, 1),
        (reply.status, reply.count("/sessions")),
    )?;
    let reply = play.approver.get(stage, &play.session).await?;
    stage.shows(&reply.body, &["/escalations/0/reason", "/escalations/0/decisions"]);
    stage.promise("and what is asked of a person", (200, 1), (reply.status, reply.count("/escalations")))?;
    let reply = play.approver.post(stage, &format!("{}/cancel", play.session), Value::Null).await?;
    stage.promise(
        "but only its user may end it",
        (404, "session_not_found"),
        (reply.status, &reply.text("/code")?),
    )
}

pub async fn stranger(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The owner of another organisation tries the same address").await;
    let theirs = play.stranger.get(stage, &play.session).await?;
    stage.shows(&theirs.body, &["/code", "/title", "/detail"]);
    stage.promise("somebody else's session is a 404", 404, theirs.status)?;
    let nobodys = play.stranger.get(stage, &format!("/chatkit/sessions/{}", Uuid::now_v7())).await?;
    let without_occurrence = |mut problem: Value| {
        ["instance", "requestId"].iter().for_each(|name| problem[*name] = Value::Null);
        problem
    };
    let (theirs, nobodys) = (without_occurrence(theirs.body), without_occurrence(nobodys.body));
    stage.promise("word for word that of one that does not exist", nobodys, theirs)?;
    let own =
        play.stranger.post(stage, "/chatkit/sessions", json!({ "agentId": "accounts_payable" })).await?;
    stage.promise("one's own can be opened", 201, own.status)?;
    let list = play.stranger.get(stage, "/chatkit/sessions?scope=organisation").await?;
    let only = (list.count("/sessions"), list.text("/sessions/0/id")?);
    stage.promise("and is all that an owner there sees", (1, own.text("/id")?), only)
}
