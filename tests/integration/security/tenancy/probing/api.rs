//! The same through the API: of another's id it says the same as of none, in the same words, after asking the same
//! questions of the database.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};

/// Everything one may try with the id of a session.
const ATTEMPTS: &[(&str, &str, &str)] = &[
    ("GET", "/chatkit/sessions/{id}", ""),
    ("GET", "/chatkit/sessions/{id}/messages", ""),
    ("POST", "/chatkit/sessions/{id}/cancel", ""),
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

// NAME: tenancy: the API says the same of another's id as of none
/// Nobody but the user writes to their session, and to everybody but approvers it does not exist at all.
#[tokio::test]
async fn same_as_none() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    let session = user.open().await?["id"].as_str().context("no id")?.to_owned();
    let elsewhere = TestClient::new(&stack).await?.user.org_id;
    let mut others = Vec::new();
    for (org_id, role, reads) in [
        (user.user.org_id, OrgRole::Member, false),
        (user.user.org_id, OrgRole::Approver, true),
        (user.user.org_id, OrgRole::Owner, true),
        (elsewhere, OrgRole::Member, false),
        (elsewhere, OrgRole::Owner, false),
    ] {
        others.push((TestClient::joining(&stack, org_id, role).await?, reads));
    }
    let before = rows(&stack).await?;
    for (other, reads) in &others {
        for attempt in ATTEMPTS.iter().filter(|(method, ..)| !(*reads && *method == "GET")) {
            let theirs = tried(&stack, other, attempt, &session).await?;
            let nobodys = tried(&stack, other, attempt, &Uuid::now_v7().to_string()).await?;
            ensure!(
                theirs == nobodys,
                "{attempt:?} by {:?}: {theirs:#?} instead of {nobodys:#?}",
                other.user.role
            );
            ensure!(
                theirs.status == 404 && theirs.body["code"] == "session_not_found",
                "{attempt:?}: {theirs:#?}"
            );
        }
    }
    ensure!(rows(&stack).await? == before, "an attempt has changed something");
    ensure!(stack.openai().requests().len() == 1, "OpenAI was asked for more than the one session");
    Ok(())
}

/// What the caller can tell, and what was asked to find out: both take the same time if the same is asked.
#[derive(Debug, PartialEq)]
struct Told {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
    asked: Vec<(String, String, u16)>,
}

async fn tried(
    stack: &LocalStack,
    caller: &TestClient,
    attempt: &(&str, &str, &str),
    id: &str,
) -> Result<Told> {
    let (method, path, body) = attempt;
    let fill = |text: &str| text.replace("{id}", id).replace("{new}", &Uuid::new_v4().to_string());
    let body = if body.is_empty() { None } else { Some(serde_json::from_str(&fill(body))?) };
    let asked = stack.supabase().requests().len();
    let reply = caller.send(Method::from_bytes(method.as_bytes())?, &fill(path), &[], body).await?;
    let asked = stack.supabase().requests().split_off(asked);
    // The key set is kept for minutes, so only one of two asks for it.
    let asked = asked.into_iter().filter(|entry| !entry.path.ends_with("jwks.json"));
    Ok(Told {
        status: reply.status.as_u16(),
        headers: headers(&reply),
        body: without_occurrence(reply.body),
        asked: asked.map(|entry| (entry.method.to_string(), entry.path, entry.status.as_u16())).collect(),
    })
}

fn headers(reply: &TestResponse) -> BTreeMap<String, String> {
    let of_the_occurrence = ["date", "x-request-id", "apigw-requestid", "content-length"];
    reply
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .filter(|(name, _)| !of_the_occurrence.contains(&name.as_str()))
        .collect()
}

fn without_occurrence(mut problem: Value) -> Value {
    if let Some(fields) = problem.as_object_mut() {
        fields.retain(|name, _| name != "instance" && name != "requestId");
    }
    problem
}

/// Everything that an attempt could change.
async fn rows(stack: &LocalStack) -> Result<Value> {
    let all = "select jsonb_build_object(
        'sessions', (select jsonb_agg(t order by id) from public.chat_sessions as t),
        'requests', (select jsonb_agg(t order by id) from public.chatkit_sessions as t),
        'events', (select jsonb_agg(t order by id) from public.chat_events as t))";
    Ok(sqlx::query_scalar(all).fetch_one(stack.database()).await?)
}

// NAME: tenancy: the API takes another's ids for new ones or none
/// Ids of events, agents and pages.
#[tokio::test]
async fn ids_of_others() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    stack.register_agent(user.user.org_id, "only_here", "Only here").await?;
    let session = user.open_path().await?;
    let payload = json!({ "reason": "above 10 000 EUR", "decisions": ["approve"] });
    let event = json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload });
    let recorded = user.post(&format!("{session}/events"), event.clone()).await?.expect(201)?;
    let escalation = recorded["events"][0]["escalationId"].clone();
    ensure!(escalation.is_string(), "{recorded}");
    let before = rows(&stack).await?;

    let stranger = TestClient::new(&stack).await?;
    let own = stranger.open_path().await?;
    // Somebody else's event is no event of this session.
    for id in [event["id"].clone(), escalation, json!(Uuid::new_v4())] {
        let again = json!({ "id": id, "type": "custom_x", "payload": { "escalationId": id } });
        let answer = stranger.post(&format!("{own}/events"), again).await?.expect(201)?;
        ensure!(
            answer["events"][0]["id"] == id && answer["events"][0]["actorId"] == json!(stranger.user.id),
            "{answer}"
        );
    }
    // Somebody else's agent is no agent here.
    let mut refusals = Vec::new();
    for agent in ["only_here", "only_there"] {
        let opening = stranger.post("/chatkit/sessions", json!({ "agentId": agent })).await?;
        let handover = stranger.record(&own, "handover", json!({ "agentId": agent })).await?;
        let (opening, handover) =
            (opening.problem(422, "agent_unavailable")?, handover.problem(422, "agent_unavailable")?);
        refusals.push((without_occurrence(opening), without_occurrence(handover)));
        let listed = stranger.get(&format!("/chatkit/sessions?agentId={agent}")).await?.expect(200)?;
        ensure!(listed["sessions"] == json!([]), "{listed}");
    }
    ensure!(refusals[0] == refusals[1], "{refusals:#?}");
    let agents = stranger.get("/chatkit/agents").await?.expect(200)?;
    ensure!(
        agents["agents"].as_array().is_some_and(|all| all.len() == 1 && all[0]["id"] == AGENT),
        "{agents}"
    );

    // Somebody else's page is a place in time and no more.
    user.open().await?;
    let page = user.get("/chatkit/sessions?limit=1").await?.expect(200)?;
    let cursor = page["nextCursor"].as_str().context("no second page")?;
    let next = stranger.get(&format!("/chatkit/sessions?cursor={cursor}")).await?.expect(200)?;
    let of_others = |sessions: &Value| {
        sessions
            .as_array()
            .is_none_or(|all| all.iter().any(|s| !own.ends_with(s["id"].as_str().unwrap_or("-"))))
    };
    ensure!(!of_others(&next["sessions"]), "{next}");

    let after = rows(&stack).await?;
    for row in before["events"].as_array().context("no events")? {
        ensure!(
            after["events"].as_array().is_some_and(|rows| rows.contains(row)),
            "{row} is no longer as it was"
        );
    }
    Ok(())
}
