//! Helpers for tests with a table of tools: they register the tools, record an event for each, make
//! the calls and compare the outcomes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;

/// Outcome: the call was made or is running.
pub const CALLED: &str = "called";
/// Outcome: the call is held, and another person may approve it.
pub const ASK: &str = "ask";
/// Outcome: the call is held, and can only be edited or rejected.
pub const UNREADABLE: &str = "unreadable";
/// Outcome: the call is held, and its requester may confirm it.
pub const CONFIRM: &str = "confirm";
/// Outcome: the delivery is a dead letter, and no decision can release it.
pub const NEVER: &str = "never";

/// A registration of an idempotent tool of low risk, with these fields.
pub fn tool(name: &str, fields: &Value) -> Value {
    let mut tool = json!({ "name": name, "risk": "low", "approver": "self", "idempotent": true });
    if let (Some(tool), Some(fields)) = (tool.as_object_mut(), fields.as_object()) {
        tool.extend(fields.clone());
    }
    tool
}

/// The event type that is routed to the tool of this name.
pub fn event_type(name: &str) -> String {
    format!("custom_{name}")
}

/// Registers the tools of an agent, a route for the event type of each tool, and additional routes.
pub async fn register_tools(
    stack: &LocalStack,
    org_id: Uuid,
    agent: &str,
    tools: &[Value],
    additional_routes: &[Value],
) -> Result<()> {
    let own = tools.iter().map(|tool| {
        json!({ "tool": tool["name"], "event_type": event_type(tool["name"].as_str().unwrap_or_default()) })
    });
    let routes: Vec<Value> = own.chain(additional_routes.iter().cloned()).collect();
    let (status, response) = try_register_tools(stack, org_id, agent, &json!(tools), &json!(routes)).await?;
    ensure!(status == 200, "register_agent_server returned {status}: {response}");
    Ok(())
}

/// Registers exactly these tools and routes, and returns the status and body of the response.
pub async fn try_register_tools(
    stack: &LocalStack,
    org_id: Uuid,
    agent: &str,
    tools: &Value,
    routes: &Value,
) -> Result<(u16, Value)> {
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": agent, "p_url": "https://agents.example.com/mcp",
        "p_tools": tools, "p_routes": routes,
    });
    let (status, response) = stack.rpc("register_agent_server", arguments).await?;
    Ok((status.as_u16(), response))
}

/// Records one event for each of these tools, at most 100 in a request.
pub async fn record_tool_events(client: &TestClient, session: &str, events: &[(&str, Value)]) -> Result<()> {
    for body in events.chunks(100) {
        let body: Vec<Value> = body
            .iter()
            .map(|(name, payload)| {
                json!({ "id": Uuid::new_v4(), "type": event_type(name), "payload": payload })
            })
            .collect();
        client.post(&format!("{session}/events"), json!(body)).await?.expect(201)?;
    }
    Ok(())
}

/// Claims calls until none is due, finishes each with `outcome`, and returns the calls.
pub async fn finish_calls(stack: &LocalStack, outcome: Value) -> Result<Vec<Value>> {
    finish_calls_by(stack, |_| outcome.clone()).await
}

/// Like [`finish_calls`], with an outcome for each call.
pub async fn finish_calls_by(stack: &LocalStack, outcome: impl Fn(&Value) -> Value) -> Result<Vec<Value>> {
    let mut calls = Vec::new();
    loop {
        let arguments = json!({ "p_limit": 100, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
        let (status, response) = stack.rpc("claim_deliveries", arguments).await?;
        ensure!(status.is_success(), "claim_deliveries returned {status}: {response}");
        let claimed = response["deliveries"].as_array().context("the response has no deliveries")?;
        if claimed.is_empty() && response["next_due_in_seconds"] != 0 {
            return Ok(calls);
        }
        for call in claimed {
            stack.finish_delivery(call, outcome(call)).await?;
            calls.push(call.clone());
        }
    }
}

/// Completes all calls that the policies permit.
pub async fn complete_calls(stack: &LocalStack) -> Result<Vec<Value>> {
    finish_calls(stack, json!({ "kind": "completed" })).await
}

/// The outcome of the newest delivery of each tool.
pub async fn newest_outcomes(stack: &LocalStack, org_id: Uuid) -> Result<BTreeMap<String, String>> {
    let query = "
        select distinct on (d.tool) d.tool, d.status, d.error, x.kind, array_to_string(x.decisions, ',')
        from deliveries as d
        left join chat_escalations as x on x.delivery_id = d.id and x.status = 'open'
        where d.org_id = $1
        order by d.tool, d.created_at desc, d.seq desc";
    type Row = (String, String, Option<String>, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(query).bind(org_id).fetch_all(stack.database()).await?;
    let outcome =
        |status: &str, error: Option<&str>, kind: Option<&str>, decisions: Option<&str>| -> String {
            match (status, error, kind, decisions) {
                ("done" | "running", _, _, _) => CALLED.to_owned(),
                ("dead", Some("policy_never"), None, None) => NEVER.to_owned(),
                ("asked", None, Some("policy"), Some("approve,edit,reject")) => ASK.to_owned(),
                ("asked", None, Some("policy"), Some("edit,reject")) => UNREADABLE.to_owned(),
                ("asked", None, Some("confirm"), Some("approve,reject")) => CONFIRM.to_owned(),
                other => format!("{other:?}"),
            }
        };
    Ok(rows
        .into_iter()
        .map(|(tool, status, error, kind, decisions)| {
            (tool, outcome(&status, error.as_deref(), kind.as_deref(), decisions.as_deref()))
        })
        .collect())
}

/// The newest open escalation about a call of this tool, with the fields that a decision needs.
pub async fn open_escalation(stack: &LocalStack, org_id: Uuid, tool: &str) -> Result<Value> {
    let query = "
        select jsonb_build_object('id', x.id, 'subjectHash', x.subject_hash, 'subject', x.subject, 'kind', x.kind,
                                  'risk', x.risk, 'approver', x.approver, 'decisions', x.decisions,
                                  'authorId', x.author_id, 'predecessorId', x.predecessor_id, 'revision', x.revision)
        from chat_escalations as x
        where x.org_id = $1 and x.subject ->> 'tool' = $2 and x.status = 'open'
        order by x.created_at desc
        limit 1";
    let escalation: Option<Value> =
        sqlx::query_scalar(query).bind(org_id).bind(tool).fetch_optional(stack.database()).await?;
    escalation.with_context(|| format!("expected an open escalation about {tool}"))
}

/// Compares the expected and the actual value of each named row. Reports every row that differs.
pub fn compare_rows(rows: impl IntoIterator<Item = (String, String, String)>) -> Result<()> {
    let differences: Vec<String> = rows
        .into_iter()
        .filter(|(_, expected, actual)| expected != actual)
        .map(|(row, expected, actual)| format!("{row}: expected {expected}, found {actual}"))
        .collect();
    if !differences.is_empty() {
        bail!("{} rows differ:\n{}", differences.len(), differences.join("\n"));
    }
    Ok(())
}
