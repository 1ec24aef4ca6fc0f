//! What is shown is what is sent: with real calls to agents, comparisons with what was approved.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, path};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, complete_calls, newest_outcomes, open_escalation, record_tool_events, register_tools, tool,
};

/// The agent that the follow-ups are for.
const OTHER: &str = "tax_compliance";

/// The parts of a call that are sent as they are shown.
const PARTS: [&str; 4] = ["session", "event", "objective", "inputs"];

#[tokio::test]
async fn agent_receives_exactly_the_approved_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (member, approver, third, session) = people(&stack).await?;
    let dispatch = async || stack.run_job("route-events").await;
    let agent = stack.agents().agent(AGENT).context("no agent")?;
    let sent = |id: &str| -> Result<Value> {
        let agent = stack.agents().agent(id).context("no agent")?;
        Ok(agent.calls().pop().context("no call")?.arguments().clone())
    };
    let newest = async || -> Result<Value> {
        let list = approver.get("/chatkit/escalations").await?.expect(200)?;
        list["escalations"].as_array().and_then(|list| list.last()).cloned().context("nothing is open")
    };
    let pay = |amount: u32| json!({ "action": "pay", "data": { "invoice": "42", "amount": amount } });

    // As it was asked for, and then what the agent has another do.
    member.record(&session, "button_click", pay(900)).await?.expect(201)?;
    dispatch().await?;
    let shown = newest().await?;
    ensure!(
        shown["subject"]["session"]["metadata"] == json!({ "costCentre": "4711", "n": [1, { "a": null }] })
    );
    ensure!(shown["subject"]["session"]["channel"] == "voice", "{shown:#}");
    decide(&approver, &shown, "approve").await?.expect(200)?;
    dispatch().await?;
    same(&shown, &sent(AGENT)?, false).context("as it was asked for")?;
    let follow_up = newest().await?;
    ensure!(follow_up["subject"]["agentId"] == OTHER, "{follow_up:#}");
    ensure!(follow_up["subject"]["objective"] == "Check the VAT of invoice 42", "{follow_up:#}");
    decide(&approver, &follow_up, "approve").await?.expect(200)?;
    dispatch().await?;
    same(&follow_up, &sent(OTHER)?, false).context("a follow-up")?;

    // As it was edited.
    member.record(&session, "button_click", pay(901)).await?.expect(201)?;
    dispatch().await?;
    decide_with_answer(&approver, &newest().await?, "edit", json!({ "invoice": "42", "amount": 90 }))
        .await?
        .expect(200)?;
    let written = newest().await?;
    decide(&third, &written, "approve").await?.expect(200)?;
    let calls = agent.calls().len();
    dispatch().await?;
    ensure!(agent.calls().len() == calls + 1, "it was not called");
    same(&written, &sent(AGENT)?, false).context("as it was edited")?;
    decide(&approver, &newest().await?, "reject").await?.expect(200)?;

    // As the agent's own question was answered.
    member.record(&session, "button_click", pay(20_000)).await?.expect(201)?;
    dispatch().await?;
    decide(&approver, &newest().await?, "approve").await?.expect(200)?;
    agent.fault(Fault::on_calls().result(asks()).times(1));
    dispatch().await?;
    let asked = newest().await?;
    ensure!(asked["kind"] == "agent_asked", "{asked:#}");
    decide_with_answer(&approver, &asked, "approve", json!({ "amount": 19_000 })).await?.expect(200)?;
    let written = newest().await?;
    decide(&third, &written, "approve").await?.expect(200)?;
    // Tried again, it is the same.
    agent.fault(Fault::on_calls().status(503).times(1));
    dispatch().await?;
    sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
        .execute(stack.database())
        .await?;
    let first = sent(AGENT)?;
    dispatch().await?;
    ensure!(sent(AGENT)? == first, "another attempt was sent something else");
    same(&written, &first, true).context("as the agent's question was answered")
}

/// A result by which an agent asks for more.
fn asks() -> Value {
    let ask = json!({ "reason": "Which account?", "decisions": ["approve", "respond", "reject"] });
    json!({ "content": [], "structuredContent": { "status": "needs_hitl", "ask": ask } })
}

/// Somebody who works, two who approve, and a session with metadata, under tools of which every call is asked about.
async fn people(stack: &LocalStack) -> Result<(TestClient, TestClient, TestClient, String)> {
    stack.webhook().inspect(|webhook| webhook.cut(true));
    let member = TestClient::new(stack).await?;
    let org_id = member.user.org_id;
    stack.register_agent(org_id, OTHER, "Tax").await?;
    for agent in [AGENT, OTHER] {
        stack.register_agent_tool(org_id, agent, json!({ "idempotent": true, "policy": "ask" })).await?;
    }
    let approver = TestClient::joining(stack, org_id, OrgRole::Approver).await?;
    let third = TestClient::joining(stack, org_id, OrgRole::Admin).await?;
    let metadata = json!({ "costCentre": "4711", "n": [1, { "a": null }] });
    let body = json!({ "agentId": AGENT, "channel": "voice", "metadata": metadata });
    let session = path(&member.post("/chatkit/sessions", body).await?.expect(201)?);
    Ok((member, approver, third, session))
}

/// Compares what was shown with the arguments of the call: the decision that releases it is not of the call, an answer is.
fn same(shown: &Value, sent: &Value, with_answer: bool) -> Result<()> {
    for part in PARTS {
        ensure!(
            shown["subject"].get(part) == sent.get(part),
            "{part}: {} was sent, {} was shown",
            sent[part],
            shown["subject"][part]
        );
    }
    ensure!(shown["subject"].get("decision").is_some() == with_answer, "{:#}", shown["subject"]);
    if with_answer {
        ensure!(shown["subject"]["decision"] == sent["decision"], "{sent:#} was sent, {shown:#} was shown");
    }
    let known = ["session", "event", "objective", "inputs", "decision", "idempotencyKey"];
    let more: Vec<&String> = sent
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    ensure!(more.is_empty(), "{more:?} was sent and not shown");
    Ok(())
}

#[tokio::test]
async fn changed_call_needs_approval_again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    stack.register_agent(org_id, OTHER, "Tax").await?;
    let names = ["handed_over", "metadata", "nothing"];
    register_tools(&stack, org_id, AGENT, &names.map(|name| tool(name, &json!({ "policy": "ask" }))), &[])
        .await?;
    for name in names {
        let session = fixture.member.open_path().await?;
        let id = session.rsplit('/').next().unwrap_or_default();
        record_tool_events(&fixture.member, &session, &[(name, json!({}))]).await?;
        complete_calls(&stack).await?;
        let held = open_escalation(&stack, org_id, name).await?;
        decide(&fixture.approver, &held, "approve").await?.expect(200)?;
        match name {
            "handed_over" => {
                fixture
                    .member
                    .record(&session, "handover", json!({ "agentId": OTHER }))
                    .await?
                    .expect(201)?;
            }
            "metadata" => {
                // Not by any request; the hash covers it all the same.
                let body = json!({ "sessionId": id, "purpose": "resume", "metadata": { "to": "me" } });
                let refused = fixture.member.post("/chatkit/sessions", body).await?;
                ensure!(refused.status == 422, "metadata was replaced: {refused:?}");
                let update = "update chat_sessions set metadata = '{\"to\": \"me\"}' where id = $1::uuid";
                sqlx::query(update).bind(id).execute(stack.database()).await?;
            }
            _ => {}
        }
        let calls = complete_calls(&stack).await?;
        if name == "nothing" {
            ensure!(calls.len() == 1, "an approved call was not made");
            continue;
        }
        ensure!(calls.is_empty(), "{name}: what nobody was shown was called: {calls:#?}");
        let found = newest_outcomes(&stack, org_id).await?;
        ensure!(found.get(name).is_some_and(|found| found == ASK), "{name}: {found:#?}");
        let again = open_escalation(&stack, org_id, name).await?;
        ensure!(
            again["id"] != held["id"] && again["subjectHash"] != held["subjectHash"],
            "{name}: {again:#}"
        );
        decide(&fixture.approver, &again, "approve").await?.expect(200)?;
        let calls = complete_calls(&stack).await?;
        ensure!(calls.len() == 1 && calls[0]["session"] == again["subject"]["session"], "{name}: {calls:#?}");
    }
    Ok(())
}
