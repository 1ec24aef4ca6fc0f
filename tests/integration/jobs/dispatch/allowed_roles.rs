//! `allowed_org_roles` holds on every way to an agent.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::Workflow;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, path};
use crate::support::escalations::EscalationFixture;
use crate::support::tool_calls::{complete_calls, finish_calls, record_tool_events, register_tools, tool};

/// The agent that is not open to members.
const CLOSED: &str = "cfo_strategy";

/// An agent for owners and approvers, and the one of everybody, which both take part in everything.
async fn agents(stack: &LocalStack, fixture: &EscalationFixture<'_>) -> Result<()> {
    let org_id = fixture.member.user.org_id;
    let workflow = "wf_of_the_closed_agent";
    stack.openai().add_workflow(Workflow {
        id: workflow.to_owned(),
        project: local_stack::PROJECT.to_owned(),
        versions: vec!["1".to_owned()],
    });
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": CLOSED, "p_display_name": "Strategy", "p_description": "Strategy",
        "p_chatkit_workflow_id": workflow, "p_allowed_org_roles": ["owner", "approver"],
    });
    let (status, answer) = stack.rpc("register_agent", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    let free = json!({ "policy": "auto" });
    let takes = |event_type: &str| json!({ "tool": "decide", "event_type": event_type });
    let more = [takes("agent_follow_up"), takes("handover"), takes("custom_pay")];
    register_tools(stack, org_id, CLOSED, &[tool("decide", &free)], &more).await?;
    register_tools(stack, org_id, AGENT, &[tool("pay", &free)], &[]).await
}

#[tokio::test]
async fn agent_is_reachable_only_by_allowed_roles() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    agents(&stack, &fixture).await?;
    for (role, allowed) in
        [(OrgRole::Member, false), (OrgRole::Admin, false), (OrgRole::Approver, true), (OrgRole::Owner, true)]
    {
        let caller = fixture.add_colleague(role).await?;
        ways_of(&stack, &caller, allowed)
            .await
            .map_err(|error| error.context(format!("a caller of role {}", role.name())))?;
    }
    Ok(())
}

/// The result that an agent's call came to.
async fn result(caller: &TestClient, session: &str) -> Result<Value> {
    let shown = caller.get(session).await?.expect(200)?;
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let result = events
        .into_iter()
        .filter(|event| event["type"] == "agent_result")
        .max_by_key(|event| event["seq"].as_u64());
    Ok(result.map_or(Value::Null, |event| event["payload"].clone()))
}

async fn ways_of(stack: &LocalStack, caller: &TestClient, allowed: bool) -> Result<()> {
    let tools = |calls: &[Value]| -> Vec<String> {
        calls.iter().map(|call| call["agent_id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // Opening.
    let opened = caller.post("/chatkit/sessions", json!({ "agentId": CLOSED })).await?;
    if allowed {
        opened.expect(201)?;
    } else {
        opened.problem(403, "agent_forbidden")?;
    }
    // A user's handover.
    let session = caller.open_path().await?;
    let handed = caller.record(&session, "handover", json!({ "agentId": CLOSED })).await?;
    if allowed {
        handed.expect(201)?;
        ensure!(tools(&complete_calls(stack).await?) == [CLOSED], "a handover");
    } else {
        handed.problem(403, "agent_forbidden")?;
        ensure!(complete_calls(stack).await?.is_empty(), "a handover was routed");
    }
    // An event that both agents want.
    let session = caller.open_path().await?;
    record_tool_events(caller, &session, &[("pay", json!({}))]).await?;
    let called = tools(&complete_calls(stack).await?);
    ensure!(called == if allowed { vec![AGENT, CLOSED] } else { vec![AGENT] }, "an event: {called:?}");
    // A follow-up, and an agent's handover: each call of AGENT comes to it, those of the other to nothing more.
    let follow_up = json!({ "kind": "completed", "follow_ups": [{ "agent_id": CLOSED }] });
    let handover = json!({ "kind": "completed", "handover": { "agent_id": CLOSED } });
    for (outcome, refused) in [(follow_up, "followUpsRefused"), (handover, "handoverRefused")] {
        let session = caller.open_path().await?;
        record_tool_events(caller, &session, &[("pay", json!({}))]).await?;
        // The event's own delivery to the closed agent is made first.
        let mut calls = Vec::new();
        loop {
            let claimed = stack.claim_all().await?;
            let Some(call) = claimed.first() else { break };
            let own = call["agent_id"] == AGENT;
            stack.finish(call, if own { outcome.clone() } else { json!({ "kind": "completed" }) }).await?;
            if own {
                let said = result(caller, &session).await?;
                let refused = if refused == "followUpsRefused" { &said[refused][0] } else { &said[refused] };
                let expected = json!({ "agentId": CLOSED, "reason": "agent_forbidden" });
                ensure!(if allowed { refused.is_null() } else { *refused == expected }, "{said:#}");
            }
            calls.push(call.clone());
        }
        let called = tools(&calls);
        ensure!(
            called == if allowed { vec![AGENT, CLOSED, CLOSED] } else { vec![AGENT] },
            "{refused}: {called:?}"
        );
    }
    // Nor is one made that would be withdrawn later.
    let made = "select count(*) from deliveries where user_id = $1 and agent_id = $2";
    let made: i64 =
        sqlx::query_scalar(made).bind(caller.user.id).bind(CLOSED).fetch_one(stack.database()).await?;
    ensure!(made == if allowed { 6 } else { 0 }, "{made} deliveries");
    Ok(())
}

#[tokio::test]
async fn call_starts_only_if_the_requester_role_is_still_allowed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    agents(&stack, &fixture).await?;
    for (role, allowed) in [(OrgRole::Member, false), (OrgRole::Admin, false), (OrgRole::Owner, true)] {
        let caller = fixture.add_colleague(OrgRole::Approver).await?;
        let body = json!({ "agentId": CLOSED });
        let session = caller.post("/chatkit/sessions", body).await?.expect(201)?;
        record_tool_events(&caller, &path(&session), &[("decide", json!({})), ("decide", json!({}))]).await?;
        // One fails for the moment and waits, the other has not begun.
        let calls = stack.claim_all().await?;
        ensure!(calls.len() == 1, "{} calls", calls.len());
        stack.finish(&calls[0], json!({ "kind": "retry", "error": "unreachable" })).await?;
        stack.put_user(&User { role, ..caller.user.clone() }).await?;
        sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
            .execute(stack.database())
            .await?;
        let called = finish_calls(&stack, json!({ "kind": "completed" })).await?.len();
        ensure!(called == if allowed { 2 } else { 0 }, "{}: {called} calls", role.name());
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
        ensure!((states.as_str(), events) == expected, "{}: {states}, {events} events", role.name());
        // Nor is the session renewed.
        let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
        let renewed = caller.post("/chatkit/sessions", resume).await?;
        if allowed {
            renewed.expect(200)?;
        } else {
            renewed.problem(403, "agent_forbidden")?;
        }
    }
    Ok(())
}
