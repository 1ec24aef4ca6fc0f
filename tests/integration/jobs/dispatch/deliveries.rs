//! The orchestrator: events reach the agents that want them, in order, and what agents answer is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::agents::Fault;
use local_stack::supabase;
use local_stack::supabase::OrgRole;
use local_stack::{LocalStack, http};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};
use crate::support::project_files;

/// The longest that anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user of an organisation whose agents work, with a session.
struct Stage {
    caller: TestClient,
    session: Value,
}

/// A tool that may be called without asking, and twice, and whose questions its user may answer.
fn free() -> Value {
    json!({ "idempotent": true, "policy": "auto", "risk": "low", "approver": "self" })
}

async fn stage(stack: &LocalStack, tool: Value) -> Result<Stage> {
    let caller = TestClient::new(stack).await?;
    let org_id = caller.user.org_id;
    for (agent, name) in [("tax_compliance", "Tax"), ("cfo_strategy", "Strategy")] {
        stack.register_agent(org_id, agent, name).await?;
        stack.register_agent_tool(org_id, agent, free()).await?;
    }
    stack.register_agent_tool(org_id, AGENT, tool).await?;
    let session = caller.open().await?;
    Ok(Stage { caller, session })
}

impl Stage {
    async fn click(&self, amount: u32) -> Result<Value> {
        let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": amount } });
        self.caller.record(&path(&self.session), "button_click", payload).await?.expect(201)
    }

    async fn shown(&self) -> Result<Value> {
        self.caller.get(&path(&self.session)).await?.expect(200)
    }

    async fn said(&self) -> Result<Vec<String>> {
        let messages = self.caller.get(&format!("{}/messages", path(&self.session))).await?.expect(200)?;
        let messages = messages["messages"].as_array().context("no messages")?.clone();
        Ok(messages.iter().filter_map(|message| message["content"].as_str().map(str::to_owned)).collect())
    }

    /// The session, once it is as it should be.
    async fn until(&self, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let waiting = async {
            loop {
                let shown = self.shown().await?;
                if is_so(&shown) {
                    return anyhow::Ok(shown);
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(shown) => shown,
            Err(_) => anyhow::bail!("it did not come to that: {:#}", self.shown().await?),
        }
    }
}

fn has_event(shown: &Value, kind: &str) -> bool {
    shown["events"].as_array().is_some_and(|events| events.iter().any(|event| event["type"] == kind))
}

/// The states of all deliveries, in their order.
async fn states(stack: &LocalStack) -> Result<Vec<(String, Option<String>)>> {
    let query = "select status, error from deliveries order by session_id, seq";
    Ok(sqlx::query_as(query).fetch_all(stack.database()).await?)
}

fn deeds(stack: &LocalStack, agent: &str) -> Vec<(String, Value)> {
    let agent = stack.agents().agent(agent);
    agent.map(|agent| agent.deeds()).into_iter().flatten().map(|deed| (deed.key, deed.with)).collect()
}

// NAME: routing: a click reaches its agent, and what it answers is in the session
#[tokio::test]
async fn click() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let event = stage.click(900).await?["events"][0].clone();
    let shown = stage.until(|shown| shown["tasks"].as_array().is_some_and(|tasks| tasks.len() == 2)).await?;
    ensure!(stack.webhook().context("no webhook")?.calls() > 0, "nobody was woken");
    let paid = deeds(&stack, AGENT);
    ensure!(paid.len() == 1 && json!(paid[0].0) == event["id"], "under another key: {paid:?}");
    ensure!(paid[0].1 == json!({ "invoice": "42", "amount": 900.0 }), "{paid:?}");
    ensure!(has_event(&shown, "agent_result") && has_event(&shown, "agent_follow_up"), "{shown:#}");
    ensure!(shown["tasks"][0]["status"] == "completed", "{shown:#}");
    let said = stage.said().await?;
    ensure!(said == ["Invoice 42 is paid.", "The VAT of invoice 42 is right."], "{said:?}");
    let call = stack.agents().agent(AGENT).context("no agent")?.calls().pop().context("no call")?;
    let text = format!("{call:?}");
    ensure!(!text.contains(&stage.caller.token), "the user's token was passed on");
    as_described(&stack)
}

/// What agents were told and answered is as docs/openapi.yaml says.
fn as_described(stack: &LocalStack) -> Result<()> {
    let document = project_files::Document::read()?;
    for agent in stack.agents().iter() {
        for call in agent.calls() {
            document.check_component("AgentCall", call.arguments())?;
        }
        for answer in agent.answers() {
            document.check_component("AgentResult", &answer)?;
        }
    }
    Ok(())
}

// NAME: routing: what no webhook told of is found by the schedule
#[tokio::test]
async fn without_webhook() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    stack.webhook().context("no webhook")?.cut(true);
    stage.click(900).await?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 2 && report["done"] == 2, "{report}");
    ensure!(deeds(&stack, "tax_compliance").len() == 1);
    ensure!(stack.run_job("route-events").await?["called"] == 0);
    Ok(())
}

// NAME: routing: what an agent asks is decided by a colleague, and it goes on
#[tokio::test]
async fn approval() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    stage.click(12_000).await?;
    let shown = stage.until(|shown| !shown["escalations"][0].is_null()).await?;
    ensure!(deeds(&stack, AGENT).is_empty(), "it was paid unasked");
    ensure!(
        shown["tasks"][0]["status"] == "blocked" && shown["tasks"][0]["requiresHitl"] == true,
        "{shown:#}"
    );
    decide(&stack, &stage, "approve", None).await?;
    stage.until(|shown| has_event(shown, "agent_follow_up")).await?;
    let paid = deeds(&stack, AGENT);
    ensure!(paid.len() == 1 && paid[0].1["amount"] == 12_000.0, "{paid:?}");
    as_described(&stack)
}

/// Decides the one open escalation, as an approver of the organisation.
async fn decide(stack: &LocalStack, stage: &Stage, decision: &str, answer: Option<Value>) -> Result<()> {
    let approver = stack.add_user(stage.caller.user.org_id, OrgRole::Approver).await?;
    let query = "select id, subject_hash from chat_escalations where status = 'open'";
    let (id, hash): (Uuid, String) = sqlx::query_as(query).fetch_one(stack.database()).await?;
    let mut arguments = json!({
        "p_org_id": approver.org_id, "p_user_id": approver.id, "p_escalation_id": id,
        "p_decision": decision, "p_subject_hash": hash,
    });
    if let Some(answer) = answer {
        arguments["p_answer"] = answer;
    }
    let (status, answer) = stack.rpc("decide_escalation", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    Ok(())
}

// NAME: routing: what an agent asks in MCP's own way is answered, and it goes on
#[tokio::test]
async fn asked_by_protocol() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.ask_by_protocol(true);
    stage.click(12_000).await?;
    let shown = stage.until(|shown| !shown["escalations"][0].is_null()).await?;
    ensure!(deeds(&stack, AGENT).is_empty(), "it was paid unasked");
    let offered = shown["escalations"][0]["decisions"].clone();
    ensure!(offered == json!(["respond", "reject"]), "{offered}");
    decide(&stack, &stage, "respond", Some(json!({ "costCentre": "4711" }))).await?;
    stage.until(|shown| has_event(shown, "agent_follow_up")).await?;
    ensure!(deeds(&stack, AGENT).len() == 1);
    Ok(())
}

// NAME: routing: an agent hands over, with what the next one needs
#[tokio::test]
async fn handover() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let payload = json!({ "action": "forecast", "data": { "invoice": "42" } });
    stage.caller.record(&path(&stage.session), "button_click", payload).await?.expect(201)?;
    stage.until(|shown| shown["agentId"] == "cfo_strategy").await?;
    let waiting = async {
        while deeds(&stack, "cfo_strategy").is_empty() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.context("it was not told what it takes over")?;
    let told = deeds(&stack, "cfo_strategy").remove(0).1;
    ensure!(told["summary"] == "Invoice 42 is on the table.", "{told}");
    let cancelled =
        stack.openai().sessions().iter().all(|s| s.status != local_stack::openai::SessionStatus::Active);
    ensure!(cancelled, "the old agent's secret can still be used");
    Ok(())
}

// NAME: routing: a call that failed is made again, under the same key
#[tokio::test]
async fn again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.fault(Fault::on_calls().drop_after().times(1));
    stage.click(900).await?;
    stage.until(|shown| has_event(shown, "agent_result")).await?;
    ensure!(deeds(&stack, AGENT).len() == 1, "paid twice");
    let attempts: i32 = sqlx::query_scalar("select attempts from deliveries order by seq limit 1")
        .fetch_one(stack.database())
        .await?;
    ensure!(attempts == 2, "{attempts} attempts");
    Ok(())
}

// NAME: routing: what an agent did is recorded after an outage of Supabase
/// The tool may not be called twice, so a result that is lost would become an unknown outcome.
#[tokio::test]
async fn recorded_after_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, json!({ "policy": "auto" })).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.fault(Fault::on_calls().delay(Duration::from_millis(1500)).times(1));
    stage.click(900).await?;
    while agent.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stack.supabase().fault(supabase::Fault::Unavailable).await;
    // Longer than the tries of one request.
    tokio::time::sleep(Duration::from_secs(6)).await;
    stack.supabase().fault(supabase::Fault::None).await;
    stage.until(|shown| has_event(shown, "agent_result")).await?;
    let states = states(&stack).await?;
    ensure!(states.contains(&("done".to_owned(), None)), "{states:?}");
    ensure!(deeds(&stack, AGENT).len() == 1 && agent.calls().len() == 1, "it was called again");
    Ok(())
}

// NAME: routing: what fails for good is a dead letter, which can be replayed
#[tokio::test]
async fn dead_letter() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.fault(Fault::on_calls().status(400));
    stage.click(900).await?;
    stage.until(|shown| has_event(shown, "agent_failed")).await?;
    let org_id = stage.caller.user.org_id;
    let (_, dead) = stack.rpc("list_dead_deliveries", json!({ "p_org_id": org_id, "p_limit": 10 })).await?;
    ensure!(dead["deliveries"][0]["error"] == "call_refused", "{dead}");
    agent.clear_faults();
    let replay = json!({ "p_org_id": org_id, "p_delivery_id": dead["deliveries"][0]["id"] });
    let (_, answer) = stack.rpc("replay_delivery", replay).await?;
    ensure!(answer["replayed"] == true, "{answer}");
    stage.until(|shown| has_event(shown, "agent_result")).await?;
    ensure!(deeds(&stack, AGENT).len() == 1);
    Ok(())
}

// NAME: routing: what may have been done is not done again, but asked about
#[tokio::test]
async fn unknown() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, json!({ "policy": "auto" })).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.fault(Fault::on_calls().drop_after().times(1));
    stage.click(900).await?;
    let shown = stage.until(|shown| !shown["escalations"][0].is_null()).await?;
    ensure!(deeds(&stack, AGENT).len() == 1 && agent.calls().len() == 1, "it was called again");
    let states = states(&stack).await?;
    ensure!(states == [("unknown".to_owned(), Some("connection_lost".to_owned()))], "{states:?} {shown:#}");
    Ok(())
}

// NAME: routing: what the policy wants asked is not called before
#[tokio::test]
async fn policy() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, json!({ "idempotent": true, "policy": "ask" })).await?;
    stage.click(900).await?;
    stage.until(|shown| !shown["escalations"][0].is_null()).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    ensure!(agent.calls().is_empty(), "it was called unasked");
    decide(&stack, &stage, "approve", None).await?;
    stage.until(|shown| has_event(shown, "agent_result")).await?;
    ensure!(deeds(&stack, AGENT).len() == 1);
    Ok(())
}

// NAME: routing: an event that nobody wants, or of another agent's session, goes nowhere
#[tokio::test]
async fn unwanted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let record = async |kind: &str, payload: Value| {
        stage.caller.record(&path(&stage.session), kind, payload).await?.expect(201)
    };
    record("custom_x", json!({})).await?;
    record("error", json!({ "message": "it broke" })).await?;
    let elsewhere = TestClient::new(&stack).await?;
    let theirs = elsewhere.open_path().await?;
    elsewhere.record(&theirs, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
    ensure!(stack.run_job("route-events").await?["called"] == 0);
    ensure!(states(&stack).await?.is_empty());
    Ok(())
}

// NAME: routing: only who knows the secret wakes it
#[tokio::test]
async fn woken() -> Result<()> {
    let stack = LocalStack::start().await?;
    let url = stack.function_url("route-events");
    let ask = async |method: Method, secret: &str| -> Result<(u16, Value)> {
        let request = http::client().request(method, &url).header("x-webhook-secret", secret);
        let response =
            request.body("{\"type\":\"INSERT\",\"record\":{\"agent_id\":\"mine\"}}").send().await?;
        let (status, text) = (response.status().as_u16(), response.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    };
    let secret = stack.environment().whole()["DATABASE_WEBHOOK_SECRET"].clone();
    for wrong in ["", "secret", &secret[1..], &secret.to_uppercase()] {
        let (status, problem) = ask(Method::POST, wrong).await?;
        ensure!((status, &problem["code"]) == (401, &json!("webhook_secret_refused")), "{status} {problem}");
    }
    ensure!(ask(Method::GET, &secret).await?.0 == 405);
    ensure!(ask(Method::POST, &secret).await?.0 == 204);
    Ok(())
}

// NAME: routing: an agent in a private place is not connected to
#[tokio::test]
async fn private_place() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    let org_id = stage.caller.user.org_id;
    for url in [
        "https://169.254.169.254/latest",
        "https://10.0.0.7/mcp",
        "https://[::ffff:127.0.0.1]/mcp",
        "http://agents.example.com/mcp",
    ] {
        stack.register_agent_server(org_id, AGENT, url, None, free()).await?;
        stage.click(900).await?;
    }
    let waiting = async {
        while states(&stack).await?.iter().any(|(status, _)| status != "dead") {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.context("nobody refused it")??;
    let errors: Vec<_> = states(&stack).await?.into_iter().filter_map(|(_, error)| error).collect();
    ensure!(
        errors.iter().all(|error| ["address_refused", "url_not_https"].contains(&error.as_str())),
        "{errors:?}"
    );
    ensure!(errors.len() == 4, "{errors:?}");
    Ok(())
}

// NAME: routing: a session that ends withdraws what was not begun
#[tokio::test]
async fn ended() -> Result<()> {
    let stack = LocalStack::start().await?;
    let stage = stage(&stack, free()).await?;
    stack.webhook().context("no webhook")?.cut(true);
    stage.click(900).await?;
    stage.caller.cancel(&path(&stage.session)).await?.expect(200)?;
    ensure!(stack.run_job("route-events").await?["called"] == 0);
    let states = states(&stack).await?;
    ensure!(states.len() == 1 && states[0].0 == "withdrawn", "{states:?}");
    Ok(())
}

/// Sessions of the slow agent's organisation, each with one event: more than an organisation may have called at once.
const SLOW: usize = 40;

// NAME: routing: a slow agent of one organisation does not hold up another's
#[tokio::test]
async fn slow_neighbour() -> Result<()> {
    let stack = LocalStack::start().await?;
    let slow = stage(&stack, free()).await?;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    agent.fault(Fault::on_calls().delay(Duration::from_secs(3)));
    for _ in 0..SLOW {
        let session = slow.caller.open_path().await?;
        let payload = json!({ "action": "pay", "data": { "invoice": "1", "amount": 1 } });
        slow.caller.record(&session, "button_click", payload).await?.expect(201)?;
    }
    let neighbour = TestClient::new(&stack).await?;
    stack.register_agent(neighbour.user.org_id, "tax_compliance", "Tax").await?;
    stack.register_agent_tool(neighbour.user.org_id, "tax_compliance", free()).await?;
    let body = json!({ "agentId": "tax_compliance" });
    let session = neighbour.post("/chatkit/sessions", body).await?.expect(201)?;
    neighbour.record(&path(&session), "button_click", json!({ "action": "check" })).await?.expect(201)?;
    let stage = Stage { caller: neighbour, session };
    stage.until(|shown| has_event(shown, "agent_result")).await?;
    let query = "select count(*) from deliveries where org_id = $1 and status in ('pending', 'running')";
    let waiting: i64 =
        sqlx::query_scalar(query).bind(slow.caller.user.org_id).fetch_one(stack.database()).await?;
    ensure!(waiting > 0, "the slow one was done before the other, so nothing was shown");
    Ok(())
}
