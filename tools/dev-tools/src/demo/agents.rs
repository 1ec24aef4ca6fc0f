//! The agents at work: a click becomes a payment, a colleague approves a large one, another agent takes over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Play;
use super::browser::TestResponse;
use super::conversation::event;
use super::printer::Stage;

/// Longer than anything takes, retries included.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the agents want to hear of, and what they may do unasked.
pub async fn at_work(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("Three finance agents go to work, each an MCP server of its own").await;
    let org_id = play.org_id;
    play.stack.register_agent(org_id, "cfo_strategy", "CFO strategy").await?;
    for agent in play.stack.agents().iter() {
        let tool = json!({ "idempotent": true, "policy": "auto" });
        let registered = play.stack.register_agent_tool(org_id, agent.id(), tool).await?;
        let server = &registered["agent_server"];
        stage.detail(agent.id(), server["url"].as_str().unwrap_or_default());
        stage.promise_that(
            "it is called where the registry says, and nowhere else",
            server["url"] == agent.url(),
            server,
        )?;
    }
    let opened =
        play.clerk.post(stage, "/chatkit/sessions", json!({ "agentId": "accounts_payable" })).await?;
    play.session_id = opened.text("/id")?;
    play.session = format!("/chatkit/sessions/{}", play.session_id);
    stage.promise("a new session is open", 201, opened.status)
}

pub async fn click(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The clerk clicks “Pay”, and the agent pays").await;
    let woken = play.stack.webhook().context("there is no webhook")?.calls();
    let started = Instant::now();
    pay(stage, play, "42", 900).await?;
    let shown = until(stage, play, |shown| tasks(shown) == ["pay-42 completed", "vat-42 completed"]).await?;
    stage.detail("delivered in", &format!("{} ms", started.elapsed().as_millis()));
    stage.detail("tasks", &tasks(&shown.body).join(", "));
    let calls = play.stack.webhook().context("there is no webhook")?.calls();
    stage.promise_that("the database's webhook woke the orchestrator, no schedule", calls > woken, calls)?;
    stage.promise("the invoice was paid, once", 1, deeds(play, "accounts_payable"))?;
    stage.promise("and its VAT checked by another agent, as a follow-up", 1, deeds(play, "tax_compliance"))
}

pub async fn approval(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("A large invoice: the agent asks, and a colleague approves with one button").await;
    pay(stage, play, "43", 12_000).await?;
    let shown = until(stage, play, |shown| !shown["escalations"][0].is_null()).await?;
    stage.shows(&shown.body, &["/escalations/0/reason", "/escalations/0/risk", "/escalations/0/decisions"]);
    stage.promise("nothing was paid unasked", 1, deeds(play, "accounts_payable"))?;

    let listed = play.approver.get(stage, "/chatkit/escalations").await?;
    stage.promise("the approver finds it among what waits", 200, listed.status)?;
    let waiting = listed.body["escalations"].as_array().into_iter().flatten();
    let ours = waiting.clone().find(|one| one["sessionId"] == play.session_id).context("it is not listed")?;
    let path = format!("/chatkit/escalations/{}/decision", ours["id"].as_str().unwrap_or_default());
    let approve = json!({ "decision": "approve", "subjectHash": ours["subjectHash"] });
    let own = play.clerk.post(stage, &path, approve.clone()).await?;
    stage.shows(&own.body, &["/code"]);
    stage.promise("nobody approves their own payment", 403, own.status)?;
    let approved = play.approver.post(stage, &path, approve).await?;
    stage.shows(&approved.body, &["/escalation/status", "/escalation/decision"]);
    stage.promise("the approver does", 200, approved.status)?;
    until(stage, play, |shown| tasks(shown).contains(&"vat-43 completed".to_owned())).await?;
    stage.promise("and the agent goes on: paid, once", 2, deeds(play, "accounts_payable"))
}

pub async fn handover(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("A question of strategy: the agent hands over to another").await;
    let payload = json!({ "action": "forecast", "data": { "invoice": "43" } });
    record(stage, play, payload).await?;
    until(stage, play, |shown| shown["agentId"] == "cfo_strategy").await?;
    until(stage, play, |shown| count(shown, "agent_result") >= 6).await?;
    stage.promise("the next agent was told what it takes over", 1, deeds(play, "cfo_strategy"))?;
    let transcript = play.clerk.get(stage, &format!("{}/messages", play.session)).await?;
    let messages = transcript.body["messages"].as_array().into_iter().flatten();
    let said: Vec<&str> = messages.filter_map(|message| message["content"].as_str()).collect();
    said.iter().for_each(|text| stage.detail("said", text));
    stage.promise_that("the transcript has all that was said, in order", said.len() >= 7, &said)
}

pub async fn without_webhook(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The webhook is cut: what it does not tell of is found by the schedule").await;
    play.stack.webhook().context("there is no webhook")?.cut(true);
    let before = deeds(play, "cfo_strategy");
    record(stage, play, json!({ "action": "forecast" })).await?;
    stage.promise("nobody is told", before, deeds(play, "cfo_strategy"))?;
    let report = play.stack.run_job("route-events").await?;
    stage.detail("the run", &report.to_string());
    stage.promise("the next run delivers it", before + 1, deeds(play, "cfo_strategy"))?;
    play.stack.webhook().context("there is no webhook")?.cut(false);
    Ok(())
}

async fn pay(stage: &mut Stage, play: &Play<'_>, invoice: &str, amount: u32) -> Result<()> {
    record(stage, play, json!({ "action": "pay", "data": { "invoice": invoice, "amount": amount } })).await
}

async fn record(stage: &mut Stage, play: &Play<'_>, payload: Value) -> Result<()> {
    let reply =
        play.clerk.post(stage, &format!("{}/events", play.session), event("button_click", payload)).await?;
    stage.promise("the click is on record", 201, reply.status)
}

/// The session, once it is as it should be. What is asked meanwhile is not shown.
async fn until(stage: &Stage, play: &Play<'_>, is_so: impl Fn(&Value) -> bool) -> Result<TestResponse> {
    let started = Instant::now();
    loop {
        let shown = play.clerk.quietly(&play.session).await?;
        if is_so(&shown.body) {
            stage.asks("the clerk", &format!("GET {}", play.session), &Value::Null);
            return Ok(shown);
        }
        if started.elapsed() > PATIENCE {
            bail!("it did not come to what was promised: {:#}", shown.body);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn deeds(play: &Play<'_>, agent: &str) -> usize {
    play.stack.agents().agent(agent).map_or(0, |agent| agent.deeds().len())
}

fn tasks(shown: &Value) -> Vec<String> {
    let task = |task: &Value| Some(format!("{} {}", task["id"].as_str()?, task["status"].as_str()?));
    shown["tasks"].as_array().into_iter().flatten().filter_map(task).collect()
}

fn count(shown: &Value, kind: &str) -> usize {
    shown["events"].as_array().into_iter().flatten().filter(|event| event["type"] == kind).count()
}
