//! The API responds to the id of another person's session as to an absent id: with the same body
//! and headers, after the same requests to Supabase.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};
use crate::support::escalations::without_request_ids;

/// Only the user can write to a session, and only approvers can read it, too.
#[tokio::test]
async fn foreign_and_absent_session_get_equal_responses() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    let session = user.open_session().await?["id"].as_str().context("no id")?.to_owned();
    let other_org_id = TestClient::new(&stack).await?.user.org_id;
    let mut others = Vec::new();
    for (org_id, role, can_read) in [
        (user.user.org_id, OrgRole::Member, false),
        (user.user.org_id, OrgRole::Approver, true),
        (user.user.org_id, OrgRole::Owner, true),
        (other_org_id, OrgRole::Member, false),
        (other_org_id, OrgRole::Owner, false),
    ] {
        others.push((TestClient::in_organisation(&stack, org_id, role).await?, can_read));
    }
    let before = rows(&stack).await?;
    for (other, can_read) in &others {
        let role = other.user.role;
        for request in REQUESTS.iter().filter(|(method, ..)| !(*can_read && *method == "GET")) {
            let existing = observe(&stack, other, request, &session).await?;
            let absent = observe(&stack, other, request, &Uuid::now_v7().to_string()).await?;
            ensure!(existing == absent, "{request:?} by {role:?}: expected {absent:#?}, found {existing:#?}");
            let is_not_found = existing.status == 404 && existing.body["code"] == "session_not_found";
            ensure!(is_not_found, "{request:?} by {role:?}: expected 404, found {existing:#?}");
        }
    }
    ensure!(rows(&stack).await? == before, "a request changed a row");
    let openai_calls = stack.openai().requests().len();
    ensure!(openai_calls == 1, "expected 1 call of OpenAI, for the opening, found {openai_calls}");
    Ok(())
}

/// Ids of events and agents, and a cursor.
#[tokio::test]
async fn ids_of_another_tenant_are_new_or_unknown() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    stack.register_agent(user.user.org_id, "only_here", "Only here").await?;
    let session = user.open_session_path().await?;
    let payload = json!({ "reason": "above 10 000 EUR", "decisions": ["approve"] });
    let event = json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload });
    let recorded = user.post(&format!("{session}/events"), event.clone()).await?.expect(201)?;
    let escalation = recorded["events"][0]["escalationId"].clone();
    ensure!(escalation.is_string(), "no escalation id: {recorded}");
    let before = rows(&stack).await?;

    let other = TestClient::new(&stack).await?;
    let own = other.open_session_path().await?;
    // The id of an event of another session is a new id.
    for id in [event["id"].clone(), escalation, json!(Uuid::new_v4())] {
        let again = json!({ "id": id, "type": "custom_x", "payload": { "escalationId": id } });
        let recorded = other.post(&format!("{own}/events"), again).await?.expect(201)?;
        let event = &recorded["events"][0];
        let is_own = event["id"] == id && event["actorId"] == json!(other.user.id);
        ensure!(is_own, "expected an event {id} of the caller, found {recorded}");
    }
    // The id of another organisation's agent is unknown.
    let mut problems = Vec::new();
    for agent in ["only_here", "only_there"] {
        let opening = other.post("/chatkit/sessions", json!({ "agentId": agent })).await?;
        let handover = other.record_event(&own, "handover", json!({ "agentId": agent })).await?;
        let (opening, handover) =
            (opening.problem(422, "agent_unavailable")?, handover.problem(422, "agent_unavailable")?);
        problems.push((without_request_ids(opening), without_request_ids(handover)));
        let listed = other.get(&format!("/chatkit/sessions?agentId={agent}")).await?.expect(200)?;
        ensure!(listed["sessions"] == json!([]), "{listed}");
    }
    ensure!(problems[0] == problems[1], "expected equal problems, found {problems:#?}");
    let agents = other.get("/chatkit/agents").await?.expect(200)?;
    let is_only_own = agents["agents"].as_array().is_some_and(|all| all.len() == 1 && all[0]["id"] == AGENT);
    ensure!(is_only_own, "expected only the organisation's own agent, found {agents}");

    // The cursor of another user is only a position in time.
    user.open_session().await?;
    let page = user.get("/chatkit/sessions?limit=1").await?.expect(200)?;
    let cursor = page["nextCursor"].as_str().context("no second page")?;
    let next = other.get(&format!("/chatkit/sessions?cursor={cursor}")).await?.expect(200)?;
    let are_own = next["sessions"]
        .as_array()
        .is_some_and(|all| all.iter().all(|session| own.ends_with(session["id"].as_str().unwrap_or("-"))));
    ensure!(are_own, "expected only own sessions, found {next}");

    let after = rows(&stack).await?;
    for row in before["events"].as_array().context("no events")? {
        let is_unchanged = after["events"].as_array().is_some_and(|rows| rows.contains(row));
        ensure!(is_unchanged, "the event {row} was changed");
    }
    Ok(())
}

/// Every request with the id of a session: method, path and body.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/chatkit/sessions/{id}", ""),
    ("GET", "/chatkit/sessions/{id}/messages", ""),
    ("GET", "/chatkit/sessions/{id}/messages?kinds=all", ""),
    ("POST", "/chatkit/sessions/{id}/cancel", ""),
    ("POST", "/chatkit/sessions/{id}/stop", ""),
    (
        "POST",
        "/chatkit/sessions/{id}/events",
        r#"{"id": "{new}", "type": "button_click", "payload": {"action": "a"}}"#,
    ),
    (
        "POST",
        "/chatkit/sessions/{id}/events",
        r#"{"id": "{new}", "type": "handover", "payload": {"agentId": "accounts_payable"}}"#,
    ),
    ("POST", "/chatkit/sessions", r#"{"sessionId": "{id}", "purpose": "resume"}"#),
    (
        "POST",
        "/chatkit/sessions",
        r#"{"sessionId": "{id}", "purpose": "refresh", "agentId": "accounts_payable"}"#,
    ),
];

/// A response, and the requests to Supabase, on which its duration depends.
#[derive(Debug, PartialEq)]
struct Observation {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
    upstream: Vec<(String, String, u16)>,
}

async fn observe(
    stack: &LocalStack,
    caller: &TestClient,
    request: &(&str, &str, &str),
    id: &str,
) -> Result<Observation> {
    let (method, path, body) = request;
    let fill = |text: &str| text.replace("{id}", id).replace("{new}", &Uuid::new_v4().to_string());
    let body = if body.is_empty() { None } else { Some(serde_json::from_str(&fill(body))?) };
    let before = stack.supabase().requests().len();
    let response = caller.send(Method::from_bytes(method.as_bytes())?, &fill(path), &[], body).await?;
    let upstream = stack.supabase().requests().split_off(before);
    // The key set is cached for minutes, so only the first request loads it.
    let upstream = upstream.into_iter().filter(|entry| !entry.path.ends_with("jwks.json"));
    Ok(Observation {
        status: response.status.as_u16(),
        headers: headers(&response),
        body: without_request_ids(response.body),
        upstream: upstream
            .map(|entry| (entry.method.to_string(), entry.path, entry.status.as_u16()))
            .collect(),
    })
}

/// The headers that do not differ between two equal requests.
fn headers(response: &TestResponse) -> BTreeMap<String, String> {
    let varying = ["date", "x-request-id", "apigw-requestid", "content-length"];
    response
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .filter(|(name, _)| !varying.contains(&name.as_str()))
        .collect()
}

/// The rows that a request could change.
async fn rows(stack: &LocalStack) -> Result<Value> {
    let all = "select jsonb_build_object(
        'sessions', (select jsonb_agg(t order by id) from public.chat_sessions as t),
        'requests', (select jsonb_agg(t order by id) from public.chatkit_sessions as t),
        'events', (select jsonb_agg(t order by id) from public.chat_events as t))";
    Ok(sqlx::query_scalar(all).fetch_one(stack.database()).await?)
}
