//! `allowed_org_roles` applies to every path to an agent.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::Workflow;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::escalations::EscalationFixture;
use crate::support::tool_calls::{complete_calls, finish_calls, record_tool_events, register_tools, tool};

/// An agent that only owners and approvers may use.
const RESTRICTED: &str = "cfo_strategy";

#[tokio::test]
async fn agent_is_reachable_only_by_allowed_roles() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    register_agents(&stack, &fixture).await?;
    for (role, allowed) in
        [(OrgRole::Member, false), (OrgRole::Admin, false), (OrgRole::Approver, true), (OrgRole::Owner, true)]
    {
        let client = fixture.add_colleague(role).await?;
        check_paths(&stack, &client, allowed)
            .await
            .with_context(|| format!("a client of role {}", role.name()))?;
    }
    Ok(())
}

#[tokio::test]
async fn call_starts_only_if_the_requester_role_is_still_allowed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    register_agents(&stack, &fixture).await?;
    for (role, allowed) in [(OrgRole::Member, false), (OrgRole::Admin, false), (OrgRole::Owner, true)] {
        let client = fixture.add_colleague(OrgRole::Approver).await?;
        let body = json!({ "agentId": RESTRICTED });
        let session = client.post("/chatkit/sessions", body).await?.expect(201)?;
        record_tool_events(&client, &session_path(&session), &[("decide", json!({})), ("decide", json!({}))])
            .await?;
        // The first call waits for a retry, and the second has not started.
        let calls = stack.claim_deliveries().await?;
        ensure!(calls.len() == 1, "expected one call, found {}", calls.len());
        stack.finish_delivery(&calls[0], json!({ "kind": "retry", "error": "unreachable" })).await?;
        stack.upsert_user(&User { role, ..client.user.clone() }).await?;
        sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
            .execute(stack.database())
            .await?;
        let called = finish_calls(&stack, json!({ "kind": "completed" })).await?.len();
        let expected = if allowed { 2 } else { 0 };
        ensure!(called == expected, "{}: expected {expected} calls, found {called}", role.name());
        let states = "
            select string_agg(concat_ws(' ', d.status, d.error), ', '),
                   (select count(*) from chat_events as e
                    where e.session_id = d.session_id and e.type = 'agent_failed'
                      and e.payload ->> 'error' = 'agent_forbidden')
            from deliveries as d
            where d.session_id = $1::uuid
            group by d.session_id";
        let (states, events): (String, i64) = sqlx::query_as(states)
            .bind(session["id"].as_str().unwrap_or_default())
            .fetch_one(stack.database())
            .await?;
        let withdrawn = "withdrawn agent_forbidden, withdrawn agent_forbidden";
        let expected = if allowed { ("done, done", 0) } else { (withdrawn, 2) };
        ensure!(
            (states.as_str(), events) == expected,
            "{}: expected {expected:?}, found {states} and {events} events",
            role.name()
        );
        // The session cannot be renewed either.
        let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
        let renewed = client.post("/chatkit/sessions", resume).await?;
        if allowed {
            renewed.expect(200)?;
        } else {
            renewed.problem(403, "agent_forbidden")?;
        }
    }
    Ok(())
}

/// Registers the restricted agent, and the tools and routes of both agents.
async fn register_agents(stack: &LocalStack, fixture: &EscalationFixture<'_>) -> Result<()> {
    let org_id = fixture.member.user.org_id;
    let workflow = "wf_restricted";
    stack.openai().add_workflow(Workflow {
        id: workflow.to_owned(),
        project: local_stack::PROJECT.to_owned(),
        versions: vec!["1".to_owned()],
    });
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": RESTRICTED, "p_display_name": "Strategy",
        "p_description": "Strategy",
        "p_chatkit_workflow_id": workflow, "p_allowed_org_roles": ["owner", "approver"],
    });
    let (status, response) = stack.rpc("register_agent", arguments).await?;
    ensure!(status.is_success(), "register_agent returned {status}: {response}");
    let auto = json!({ "policy": "auto" });
    let route = |event_type: &str| json!({ "tool": "decide", "event_type": event_type });
    let routes = [route("agent_follow_up"), route("handover"), route("custom_pay")];
    register_tools(stack, org_id, RESTRICTED, &[tool("decide", &auto)], &routes).await?;
    register_tools(stack, org_id, AGENT, &[tool("pay", &auto)], &[]).await
}

/// The payload of the newest result of an agent.
async fn newest_result(client: &TestClient, session: &str) -> Result<Value> {
    let session = client.get(session).await?.expect(200)?;
    let events = session["events"].as_array().cloned().unwrap_or_default();
    let result = events
        .into_iter()
        .filter(|event| event["type"] == "agent_result")
        .max_by_key(|event| event["seq"].as_u64());
    Ok(result.map_or(Value::Null, |event| event["payload"].clone()))
}

/// Tries every path to the restricted agent.
async fn check_paths(stack: &LocalStack, client: &TestClient, allowed: bool) -> Result<()> {
    let agents = |calls: &[Value]| -> Vec<String> {
        calls.iter().map(|call| call["agent_id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // A new session.
    let opened = client.post("/chatkit/sessions", json!({ "agentId": RESTRICTED })).await?;
    if allowed {
        opened.expect(201)?;
    } else {
        opened.problem(403, "agent_forbidden")?;
    }
    // A user's handover.
    let session = client.open_session_path().await?;
    let handover = client.record_event(&session, "handover", json!({ "agentId": RESTRICTED })).await?;
    if allowed {
        handover.expect(201)?;
        ensure!(agents(&complete_calls(stack).await?) == [RESTRICTED], "expected a call after the handover");
    } else {
        handover.problem(403, "agent_forbidden")?;
        ensure!(complete_calls(stack).await?.is_empty(), "a rejected handover caused a call");
    }
    // An event that is routed to both agents.
    let session = client.open_session_path().await?;
    record_tool_events(client, &session, &[("pay", json!({}))]).await?;
    let called = agents(&complete_calls(stack).await?);
    let expected = if allowed { vec![AGENT, RESTRICTED] } else { vec![AGENT] };
    ensure!(called == expected, "an event: expected calls of {expected:?}, found {called:?}");
    // A follow-up and a handover by an agent. Only the calls of AGENT cause one.
    let follow_up = json!({ "kind": "completed", "follow_ups": [{ "agent_id": RESTRICTED }] });
    let handover = json!({ "kind": "completed", "handover": { "agent_id": RESTRICTED } });
    for (outcome, rejection_path) in [(follow_up, "/followUpsRefused/0"), (handover, "/handoverRefused")] {
        let session = client.open_session_path().await?;
        record_tool_events(client, &session, &[("pay", json!({}))]).await?;
        // The delivery of the event to the restricted agent is claimed first.
        let mut calls = Vec::new();
        loop {
            let claimed = stack.claim_deliveries().await?;
            let Some(call) = claimed.first() else { break };
            if call["agent_id"] == AGENT {
                stack.finish_delivery(call, outcome.clone()).await?;
                let result = newest_result(client, &session).await?;
                let rejection = result.pointer(rejection_path).filter(|rejection| !rejection.is_null());
                let expected = json!({ "agentId": RESTRICTED, "reason": "agent_forbidden" });
                ensure!(
                    rejection == (!allowed).then_some(&expected),
                    "allowed: {allowed}, unexpected value at {rejection_path}: {result:#}"
                );
            } else {
                stack.finish_delivery(call, json!({ "kind": "completed" })).await?;
            }
            calls.push(call.clone());
        }
        let called = agents(&calls);
        let expected = if allowed { vec![AGENT, RESTRICTED, RESTRICTED] } else { vec![AGENT] };
        ensure!(called == expected, "{rejection_path}: expected calls of {expected:?}, found {called:?}");
    }
    // No delivery was created that would be withdrawn later.
    let deliveries = "select count(*) from deliveries where user_id = $1 and agent_id = $2";
    let deliveries: i64 = sqlx::query_scalar(deliveries)
        .bind(client.user.id)
        .bind(RESTRICTED)
        .fetch_one(stack.database())
        .await?;
    let expected = if allowed { 6 } else { 0 };
    ensure!(deliveries == expected, "expected {expected} deliveries, found {deliveries}");
    Ok(())
}
