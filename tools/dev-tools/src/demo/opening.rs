//! A clerk finds the agents and opens a session with one.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Play;
use super::printer::Stage;

pub async fn agents(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("A clerk asks whom one can talk to").await;
    let reply = play.clerk.get(stage, "/chatkit/agents").await?;
    for agent in reply.body["agents"].as_array().into_iter().flatten() {
        stage.detail(
            agent["id"].as_str().unwrap_or_default(),
            agent["description"].as_str().unwrap_or_default(),
        );
    }
    stage.promise("the answer is a 200", 200, reply.status)?;
    stage.promise(
        "it lists the organisation's two agents, not the other organisation's",
        2,
        reply.count("/agents"),
    )?;
    let fields = reply.body["agents"][0].as_object().map(|agent| agent.keys().cloned().collect::<Vec<_>>());
    let expected = ["id", "displayName", "description"].map(str::to_owned).to_vec();
    stage.promise("it keeps the ChatKit workflows to itself", Some(expected), fields)
}

pub async fn session(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk opens a session").await;
    let wish = json!({ "agentId": "accounts_payable", "channel": "web", "metadata": { "locale": "en" } });
    let reply = play.clerk.post(stage, "/chatkit/sessions", wish).await?;
    stage.shows(
        &reply.body,
        &["/id", "/status", "/agentId", "/chatkit/sessionId", "/chatkit/clientSecret", "/chatkit/expiresAt"],
    );
    stage.promise("a new session is a 201", 201, reply.status)?;
    play.session_id = reply.text("/id")?;
    play.session = format!("/chatkit/sessions/{}", play.session_id);
    play.client_secret = reply.text("/chatkit/clientSecret")?;
    stage.promise("no cache may keep the secret", "no-store", reply.header("cache-control"))?;
    stage.promise(
        "the metadata came back as it was sent",
        &json!({ "locale": "en" }),
        &reply.body["metadata"],
    )?;

    let calls = play.stack.openai().requests();
    stage.promise("OpenAI was asked once", 1, calls.len())?;
    let asked: Value = calls[0].json().context("OpenAI was asked without a body")?;
    stage.detail("what OpenAI was asked", &asked.to_string());
    let told = asked.to_string().contains(&play.clerk.user_id);
    stage.promise_that("OpenAI knows the clerk by an opaque name that is ours", !told, &asked["user"])?;
    stage.promise(
        "OpenAI may not trace the conversation",
        &json!({ "enabled": false }),
        &asked["workflow"]["tracing"],
    )
}
