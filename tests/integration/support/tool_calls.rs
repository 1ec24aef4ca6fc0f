//! What the tables share: tools that are registered together, their calls, and what became of each.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;

/// What becomes of a call.
pub const CALLED: &str = "called";
/// It is held, and another person may approve it.
pub const ASK: &str = "ask";
/// It is held, and can only be edited or rejected.
pub const UNREADABLE: &str = "unreadable";
/// It is held, and its requester may confirm it.
pub const CONFIRM: &str = "confirm";
/// It is given up, and no decision can release it.
pub const NEVER: &str = "never";

/// A tool of this name, with these fields.
pub fn tool(name: &str, fields: &Value) -> Value {
    let mut tool = json!({ "name": name, "risk": "low", "approver": "self", "idempotent": true });
    if let (Some(tool), Some(fields)) = (tool.as_object_mut(), fields.as_object()) {
        tool.extend(fields.clone());
    }
    tool
}

/// The event type that goes to the tool of this name.
pub fn event_type(name: &str) -> String {
    format!("custom_{name}")
}

/// Registers an agent's tools, each with the event type of its name, and more routes.
pub async fn register(
    stack: &LocalStack,
    org_id: Uuid,
    agent: &str,
    tools: &[Value],
    more: &[Value],
) -> Result<()> {
    let own = tools.iter().map(|tool| {
        json!({ "tool": tool["name"], "event_type": event_type(tool["name"].as_str().unwrap_or_default()) })
    });
    let routes: Vec<Value> = own.chain(more.iter().cloned()).collect();
    let (status, answer) = register_as(stack, org_id, agent, &json!(tools), &json!(routes)).await?;
    ensure!(status == 200, "register_agent_server answered {status}: {answer}");
    Ok(())
}

/// Registers exactly this, and says what was answered.
pub async fn register_as(
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
    let (status, answer) = stack.rpc("register_agent_server", arguments).await?;
    Ok((status.as_u16(), answer))
}

/// Records one event for each of these tools, through the function, in bodies of a hundred.
pub async fn record(caller: &TestClient, session: &str, events: &[(&str, Value)]) -> Result<()> {
    for body in events.chunks(100) {
        let body: Vec<Value> = body
            .iter()
            .map(|(name, payload)| json!({ "id": Uuid::new_v4(), "type": event_type(name), "payload": payload }))
            .collect();
        caller.post(&format!("{session}/events"), json!(body)).await?.expect(201)?;
    }
    Ok(())
}

/// Claims until nothing is due, and finishes each call in this way; answers with the calls.
pub async fn work_off(stack: &LocalStack, outcome: Value) -> Result<Vec<Value>> {
    work_off_by(stack, |_| outcome.clone()).await
}

/// The same, with an outcome for each call.
pub async fn work_off_by(stack: &LocalStack, outcome: impl Fn(&Value) -> Value) -> Result<Vec<Value>> {
    let mut calls = Vec::new();
    loop {
        let arguments = json!({ "p_limit": 100, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
        let (status, answer) = stack.rpc("claim_deliveries", arguments).await?;
        ensure!(status.is_success(), "claim_deliveries answered {status}: {answer}");
        let claimed = answer["deliveries"].as_array().context("no deliveries")?;
        if claimed.is_empty() && answer["next_due_in_seconds"] != 0 {
            return Ok(calls);
        }
        for call in claimed {
            stack.finish(call, outcome(call)).await?;
            calls.push(call.clone());
        }
    }
}

/// Makes all calls that may be made.
pub async fn drain(stack: &LocalStack) -> Result<Vec<Value>> {
    work_off(stack, json!({ "kind": "completed" })).await
}

/// What became of the newest delivery to each tool.
pub async fn outcomes(stack: &LocalStack, org_id: Uuid) -> Result<BTreeMap<String, String>> {
    let query = "
        select distinct on (d.tool) d.tool, d.status, d.error, x.kind, array_to_string(x.decisions, ',')
        from deliveries as d
        left join chat_escalations as x on x.delivery_id = d.id and x.status = 'open'
        where d.org_id = $1
        order by d.tool, d.created_at desc, d.seq desc";
    type Row = (String, String, Option<String>, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(query).bind(org_id).fetch_all(stack.database()).await?;
    let outcome = |status: &str, error: Option<&str>, kind: Option<&str>, offered: Option<&str>| -> String {
        match (status, error, kind, offered) {
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
        .map(|(tool, status, error, kind, offered)| {
            (tool, outcome(&status, error.as_deref(), kind.as_deref(), offered.as_deref()))
        })
        .collect())
}

/// The newest open question about a tool's call, as far as a decision needs it.
pub async fn question(stack: &LocalStack, org_id: Uuid, tool: &str) -> Result<Value> {
    let query = "
        select jsonb_build_object('id', x.id, 'subjectHash', x.subject_hash, 'subject', x.subject, 'kind', x.kind,
                                  'risk', x.risk, 'approver', x.approver, 'decisions', x.decisions,
                                  'authorId', x.author_id, 'predecessorId', x.predecessor_id, 'revision', x.revision)
        from chat_escalations as x
        where x.org_id = $1 and x.subject ->> 'tool' = $2 and x.status = 'open'
        order by x.created_at desc
        limit 1";
    let found: Option<Value> =
        sqlx::query_scalar(query).bind(org_id).bind(tool).fetch_optional(stack.database()).await?;
    found.with_context(|| format!("no open question about {tool}"))
}

/// Compares all rows, and names every one that differs.
pub fn compare(rows: impl IntoIterator<Item = (String, String, String)>) -> Result<()> {
    let differing: Vec<String> = rows
        .into_iter()
        .filter(|(_, expected, found)| expected != found)
        .map(|(row, expected, found)| format!("{row}: {found} instead of {expected}"))
        .collect();
    if !differing.is_empty() {
        bail!("{} rows differ:\n{}", differing.len(), differing.join("\n"));
    }
    Ok(())
}
