//! An agent receives exactly the call that was displayed to the approver.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, complete_calls, newest_outcomes, open_escalation, record_tool_events, register_tools, tool,
};

/// The agent that receives the follow-ups.
const OTHER: &str = "tax_compliance";

/// Fields of a call that are displayed and sent.
const FIELDS: [&str; 4] = ["session", "event", "objective", "inputs"];

#[tokio::test]
async fn agent_receives_exactly_the_approved_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let Users { member, approver, third, session } = create_users(&stack).await?;
    let dispatch = async || stack.run_job("route-events").await;
    let agent = stack.agents().agent(AGENT).context("the agent does not exist")?;
    let last_call = |id: &str| -> Result<Value> {
        let agent = stack.agents().agent(id).context("the agent does not exist")?;
        Ok(agent.calls().pop().context("the agent was not called")?.arguments().clone())
    };
    let newest_escalation = async || -> Result<Value> {
        let list = approver.get("/chatkit/escalations").await?.expect(200)?;
        list["escalations"]
            .as_array()
            .and_then(|list| list.last())
            .cloned()
            .context("expected an open escalation")
    };
    let pay = |amount: u32| json!({ "action": "pay", "data": { "invoice": "42", "amount": amount } });

    // The requested call, and the follow-up that its result causes.
    member.record_event(&session, "button_click", pay(900)).await?.expect(201)?;
    dispatch().await?;
    let displayed = newest_escalation().await?;
    let metadata = &displayed["subject"]["session"]["metadata"];
    ensure!(
        *metadata == json!({ "costCentre": "4711", "n": [1, { "a": null }] }),
        "expected the metadata of the session, found {metadata}"
    );
    ensure!(
        displayed["subject"]["session"]["channel"] == "voice",
        "expected the channel voice: {displayed:#}"
    );
    decide(&approver, &displayed, "approve").await?.expect(200)?;
    dispatch().await?;
    check_same(&displayed, &last_call(AGENT)?, false).context("the requested call")?;
    let follow_up = newest_escalation().await?;
    ensure!(follow_up["subject"]["agentId"] == OTHER, "expected a call of {OTHER}: {follow_up:#}");
    ensure!(
        follow_up["subject"]["objective"] == "Check the VAT of invoice 42",
        "expected the objective: {follow_up:#}"
    );
    decide(&approver, &follow_up, "approve").await?.expect(200)?;
    dispatch().await?;
    check_same(&follow_up, &last_call(OTHER)?, false).context("the follow-up")?;

    // The edited call.
    member.record_event(&session, "button_click", pay(901)).await?.expect(201)?;
    dispatch().await?;
    decide_with_answer(
        &approver,
        &newest_escalation().await?,
        "edit",
        json!({ "invoice": "42", "amount": 90 }),
    )
    .await?
    .expect(200)?;
    let successor = newest_escalation().await?;
    decide(&third, &successor, "approve").await?.expect(200)?;
    let calls = agent.calls().len();
    dispatch().await?;
    ensure!(agent.calls().len() == calls + 1, "expected one call after the approval");
    check_same(&successor, &last_call(AGENT)?, false).context("the edited call")?;
    decide(&approver, &newest_escalation().await?, "reject").await?.expect(200)?;

    // The call with an answer to the question of the agent.
    member.record_event(&session, "button_click", pay(20_000)).await?.expect(201)?;
    dispatch().await?;
    decide(&approver, &newest_escalation().await?, "approve").await?.expect(200)?;
    agent.add_fault(Fault::on_calls().result(question_result()).times(1));
    dispatch().await?;
    let question = newest_escalation().await?;
    ensure!(question["kind"] == "agent_asked", "expected a question of the agent: {question:#}");
    decide_with_answer(&approver, &question, "approve", json!({ "amount": 19_000 })).await?.expect(200)?;
    let successor = newest_escalation().await?;
    decide(&third, &successor, "approve").await?.expect(200)?;
    // The retry sends the same call.
    agent.add_fault(Fault::on_calls().status(503).times(1));
    dispatch().await?;
    sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
        .execute(stack.database())
        .await?;
    let first = last_call(AGENT)?;
    dispatch().await?;
    ensure!(last_call(AGENT)? == first, "the retry sent another call");
    check_same(&successor, &first, true).context("the call with the answer")
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
        let session = fixture.member.open_session_path().await?;
        let id = session.rsplit('/').next().unwrap_or_default();
        record_tool_events(&fixture.member, &session, &[(name, json!({}))]).await?;
        complete_calls(&stack).await?;
        let held = open_escalation(&stack, org_id, name).await?;
        decide(&fixture.approver, &held, "approve").await?.expect(200)?;
        match name {
            "handed_over" => {
                fixture
                    .member
                    .record_event(&session, "handover", json!({ "agentId": OTHER }))
                    .await?
                    .expect(201)?;
            }
            "metadata" => {
                // No request can replace the metadata, but the hash covers it.
                let body = json!({ "sessionId": id, "purpose": "resume", "metadata": { "to": "me" } });
                let response = fixture.member.post("/chatkit/sessions", body).await?;
                ensure!(response.status == 422, "expected rejected metadata: {response:?}");
                let update = "update chat_sessions set metadata = '{\"to\": \"me\"}' where id = $1::uuid";
                sqlx::query(update).bind(id).execute(stack.database()).await?;
            }
            _ => {}
        }
        let calls = complete_calls(&stack).await?;
        if name == "nothing" {
            ensure!(calls.len() == 1, "expected the approved call");
            continue;
        }
        ensure!(calls.is_empty(), "{name}: a changed call was made: {calls:#?}");
        let outcomes = newest_outcomes(&stack, org_id).await?;
        ensure!(
            outcomes.get(name).is_some_and(|outcome| outcome == ASK),
            "{name}: expected {ASK}: {outcomes:#?}"
        );
        let again = open_escalation(&stack, org_id, name).await?;
        ensure!(
            again["id"] != held["id"] && again["subjectHash"] != held["subjectHash"],
            "{name}: expected a new escalation: {again:#}"
        );
        decide(&fixture.approver, &again, "approve").await?.expect(200)?;
        let calls = complete_calls(&stack).await?;
        ensure!(
            calls.len() == 1 && calls[0]["session"] == again["subject"]["session"],
            "{name}: expected the approved call: {calls:#?}"
        );
    }
    Ok(())
}

/// A result with a question of the agent.
fn question_result() -> Value {
    let ask = json!({ "reason": "Which account?", "decisions": ["approve", "respond", "reject"] });
    json!({ "content": [], "structuredContent": { "status": "needs_hitl", "ask": ask } })
}

struct Users {
    member: TestClient,
    approver: TestClient,
    third: TestClient,
    session: String,
}

/// Adds a member with a session, and two approvers. Every call of both agents needs an approval.
async fn create_users(stack: &LocalStack) -> Result<Users> {
    stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    let member = TestClient::new(stack).await?;
    let org_id = member.user.org_id;
    stack.register_agent(org_id, OTHER, "Tax").await?;
    for agent in [AGENT, OTHER] {
        stack.register_agent_tool(org_id, agent, json!({ "idempotent": true, "policy": "ask" })).await?;
    }
    let approver = TestClient::in_organisation(stack, org_id, OrgRole::Approver).await?;
    let third = TestClient::in_organisation(stack, org_id, OrgRole::Admin).await?;
    let metadata = json!({ "costCentre": "4711", "n": [1, { "a": null }] });
    let body = json!({ "agentId": AGENT, "channel": "voice", "metadata": metadata });
    let session = session_path(&member.post("/chatkit/sessions", body).await?.expect(201)?);
    Ok(Users { member, approver, third, session })
}

/// Compares the displayed call with the sent one. The call contains an answer, but not the decision
/// that releases it.
fn check_same(displayed: &Value, sent: &Value, with_answer: bool) -> Result<()> {
    for field in FIELDS {
        ensure!(
            displayed["subject"].get(field) == sent.get(field),
            "{field}: displayed {}, sent {}",
            displayed["subject"][field],
            sent[field]
        );
    }
    ensure!(
        displayed["subject"].get("decision").is_some() == with_answer,
        "with_answer: {with_answer}, found {:#}",
        displayed["subject"]
    );
    if with_answer {
        ensure!(
            displayed["subject"]["decision"] == sent["decision"],
            "displayed {displayed:#}, sent {sent:#}"
        );
    }
    let known = ["session", "event", "objective", "inputs", "decision", "idempotencyKey"];
    let unknown: Vec<&String> = sent
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    ensure!(unknown.is_empty(), "fields that are sent but not displayed: {unknown:?}");
    Ok(())
}
