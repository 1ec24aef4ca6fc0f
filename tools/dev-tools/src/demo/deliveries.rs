//! Agents receive events: a click becomes a payment, a colleague approves a large one, another
//! agent takes over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use local_stack::seed_data::tool_registration;
use serde_json::{Value, json};

use super::browser::TestResponse;
use super::events::event;
use super::printer::Printer;
use super::{Demo, TIMEOUT};

/// Registers the agents' servers, routes and policies.
pub async fn register(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("Three finance agents are registered, each with its own MCP server").await;
    let org_id = demo.org_id;
    demo.stack.register_agent(org_id, "cfo_strategy", "CFO strategy").await?;
    for agent in demo.stack.agents().iter() {
        let tool = tool_registration(agent.id());
        let registered = demo.stack.register_agent_tool(org_id, agent.id(), tool).await?;
        let server = &registered["agent_server"];
        printer.detail(agent.id(), server["url"].as_str().unwrap_or_default());
        printer.check("its registered URL is its server", server["url"] == agent.url(), server)?;
    }
    let opened =
        demo.clerk.post(printer, "/chatkit/sessions", json!({ "agentId": "accounts_payable" })).await?;
    demo.session_id = opened.text("/id")?;
    demo.session = format!("/chatkit/sessions/{}", demo.session_id);
    printer.check_eq("a new session is open", 201, opened.status)
}

pub async fn click(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk clicks “Pay”, and the agent pays").await;
    let calls_before = demo.stack.webhook().context("there is no webhook")?.calls();
    let started = Instant::now();
    pay(printer, demo, "42", 900).await?;
    let session =
        until(printer, demo, |session| tasks(session) == ["pay-42 completed", "vat-42 completed"]).await?;
    printer.detail("delivered in", &format!("{} ms", started.elapsed().as_millis()));
    printer.detail("tasks", &tasks(&session.body).join(", "));
    let calls = demo.stack.webhook().context("there is no webhook")?.calls();
    printer.check("the database webhook started the dispatcher", calls > calls_before, calls)?;
    printer.check_eq("the invoice was paid once", 1, action_count(demo, "accounts_payable"))?;
    printer.check_eq("another agent checked its VAT as a follow-up", 1, action_count(demo, "tax_compliance"))
}

pub async fn approval(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("A large invoice: the agent asks, and a colleague approves").await;
    pay(printer, demo, "43", 12_000).await?;
    let session = until(printer, demo, |session| !session["escalations"][0].is_null()).await?;
    printer
        .fields(&session.body, &["/escalations/0/reason", "/escalations/0/risk", "/escalations/0/decisions"]);
    printer.check_eq("nothing was paid without approval", 1, action_count(demo, "accounts_payable"))?;

    let listed = demo.approver.get(printer, "/chatkit/escalations").await?;
    printer.check_eq("the approver lists the open escalation", 200, listed.status)?;
    let open = listed.body["escalations"].as_array().into_iter().flatten();
    let escalation = open
        .clone()
        .find(|one| one["sessionId"] == demo.session_id)
        .context("the escalation is not listed")?;
    let path = format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().unwrap_or_default());
    let approve = json!({ "decision": "approve", "subjectHash": escalation["subjectHash"] });
    let own = demo.clerk.post(printer, &path, approve.clone()).await?;
    printer.fields(&own.body, &["/code"]);
    printer.check_eq("the requester cannot approve the payment", 403, own.status)?;
    let approved = demo.approver.post(printer, &path, approve).await?;
    printer.fields(&approved.body, &["/escalation/status", "/escalation/decision"]);
    printer.check_eq("the approver can", 200, approved.status)?;
    until(printer, demo, |session| tasks(session).contains(&"vat-43 completed".to_owned())).await?;
    printer.check_eq(
        "the agent continues and pays the invoice once",
        2,
        action_count(demo, "accounts_payable"),
    )
}

pub async fn handover(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("A question of strategy: the agent hands over to another agent").await;
    let payload = json!({ "action": "forecast", "data": { "invoice": "43" } });
    record(printer, demo, payload).await?;
    until(printer, demo, |session| session["agentId"] == "cfo_strategy").await?;
    until(printer, demo, |session| count(session, "agent_result") >= 6).await?;
    printer.check_eq("the next agent received the handover", 1, action_count(demo, "cfo_strategy"))?;
    let transcript = demo.clerk.get(printer, &format!("{}/messages", demo.session)).await?;
    let messages = transcript.body["messages"].as_array().into_iter().flatten();
    let contents: Vec<&str> = messages.filter_map(|message| message["content"].as_str()).collect();
    contents.iter().for_each(|text| printer.detail("message", text));
    printer.check("the transcript has all messages in order", contents.len() >= 7, &contents)
}

pub async fn without_webhook(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The webhook fails, and the scheduled run delivers the event").await;
    demo.stack.webhook().context("there is no webhook")?.set_disconnected(true);
    let before = action_count(demo, "cfo_strategy");
    record(printer, demo, json!({ "action": "forecast" })).await?;
    printer.check_eq("no agent received the event", before, action_count(demo, "cfo_strategy"))?;
    let report = demo.stack.run_job("route-events").await?;
    printer.detail("report of the run", &report.to_string());
    printer.check_eq("the scheduled run delivered it", before + 1, action_count(demo, "cfo_strategy"))?;
    demo.stack.webhook().context("there is no webhook")?.set_disconnected(false);
    Ok(())
}

async fn pay(printer: &mut Printer, demo: &Demo<'_>, invoice: &str, amount: u32) -> Result<()> {
    record(printer, demo, json!({ "action": "pay", "data": { "invoice": invoice, "amount": amount } })).await
}

async fn record(printer: &mut Printer, demo: &Demo<'_>, payload: Value) -> Result<()> {
    let response =
        demo.clerk.post(printer, &format!("{}/events", demo.session), event("button_click", payload)).await?;
    printer.check_eq("the click is recorded", 201, response.status)
}

/// Polls until the session meets the condition. Only the last request is printed.
async fn until(
    printer: &Printer,
    demo: &Demo<'_>,
    condition: impl Fn(&Value) -> bool,
) -> Result<TestResponse> {
    let started = Instant::now();
    loop {
        let session = demo.clerk.get_quietly(&demo.session).await?;
        if condition(&session.body) {
            printer.request("the clerk", &format!("GET {}", demo.session), &Value::Null);
            return Ok(session);
        }
        if started.elapsed() > TIMEOUT {
            bail!("the session did not reach the expected state: {:#}", session.body);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn action_count(demo: &Demo<'_>, agent: &str) -> usize {
    demo.stack.agents().agent(agent).map_or(0, |agent| agent.actions().len())
}

fn tasks(session: &Value) -> Vec<String> {
    let task = |task: &Value| Some(format!("{} {}", task["id"].as_str()?, task["status"].as_str()?));
    session["tasks"].as_array().into_iter().flatten().filter_map(task).collect()
}

fn count(session: &Value, kind: &str) -> usize {
    session["events"].as_array().into_iter().flatten().filter(|event| event["type"] == kind).count()
}
