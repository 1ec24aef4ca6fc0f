//! Several devices decide the same escalation concurrently.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{AGENT, CONCURRENCY, Person, StressEnv, run_concurrently};
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::supabase::OrgRole;

/// Number of devices per escalation; each approver has several.
const DEVICES: usize = 8;

/// Number of approvers; every other one rejects.
const APPROVERS: usize = 4;

/// Number of requested payments per session.
const PAYMENTS_PER_SESSION: usize = 50;

/// A device's decision and its response.
struct Click {
    decision: &'static str,
    by: Uuid,
    response: TestResponse,
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    // The test reads the calls; no dispatcher makes them.
    env.stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    let org_id = env.person(0).user.org_id;
    let tool = json!({ "name": "pay", "policy": "ask", "risk": "high", "approver": "other" });
    env.stack.register_tool(org_id, AGENT, tool).await?;
    let mut approvers = Vec::new();
    for _ in 0..APPROVERS {
        approvers.push(env.add_person(OrgRole::Approver).await?);
    }
    request_payments(env, count).await?;
    let held = env.stack.claim_deliveries().await?;
    let escalations = list_escalations(env, &approvers[0]).await?;

    let raced = run_concurrently(escalations.len(), CONCURRENCY / DEVICES, async |number| {
        let escalation = &escalations[number];
        let clicks = run_concurrently(DEVICES, DEVICES, async |device| {
            let index = device % APPROVERS;
            let decision = if index % 2 == number % 2 { "approve" } else { "reject" };
            let request = Request::decide(escalation, decision);
            let by = approvers[index].user.id;
            Click { decision, by, response: env.send_until_response(&approvers[index], &request).await }
        });
        (escalation["id"].as_str().unwrap_or_default().to_owned(), clicks.await)
    })
    .await;

    let mut calls = released_calls(env).await?;
    let decided = recorded_decisions(env).await?;
    let mut unexpected = Vec::new();
    let (mut lost, mut approved) = (0, 0);
    for (id, clicks) in &raced {
        let (decision, by, events) = decided.get(id).context("an escalation has no decision")?;
        let effects = calls.remove(id).unwrap_or_default();
        if *events != 1 || effects != usize::from(decision == "approve") {
            unexpected.push(format!("{id}: {decision}, {events} events, {effects} calls"));
        }
        approved += usize::from(decision == "approve");
        for click in clicks {
            let won = click.by == *by && click.decision == decision;
            let wrong =
                if won { is_wrong_for_winner(click, id) } else { is_wrong_for_loser(click, decision, *by) };
            unexpected.extend(
                wrong.then(|| {
                    format!("{id}: {} by {} received {:?}", click.decision, click.by, click.response)
                }),
            );
            lost += usize::from(!won);
        }
    }
    unexpected.extend(calls.keys().map(|id| format!("{id:?} is called without a release")));
    Ok(vec![
        Measurement::exactly("calls before any decision", held.len(), 0),
        Measurement::exactly("escalations, each with one decision", decided.len(), count),
        Measurement::non_zero("of them, approved with one call each", approved),
        Measurement::non_zero("of them, rejected without a call", decided.len() - approved),
        Measurement::exactly(
            "decisions sent",
            raced.iter().map(|(_, clicks)| clicks.len()).sum(),
            count * DEVICES,
        ),
        Measurement::non_zero("decisions that were too late and returned the recorded one", lost),
        Measurement::violations("second decisions, second calls, and other outcomes", &unexpected),
    ])
}

/// Whether the winner's response is wrong, on any device.
fn is_wrong_for_winner(click: &Click, id: &str) -> bool {
    let escalation = &click.response.body["escalation"];
    click.response.status != Some(200) || escalation["id"] != id || escalation["decision"] != click.decision
}

/// Whether a later response lacks the recorded decision.
fn is_wrong_for_loser(click: &Click, decision: &str, by: Uuid) -> bool {
    let recorded = &click.response.body["decision"];
    (click.response.status, click.response.code()) != (Some(409), Some("escalation_resolved"))
        || recorded["decision"] != decision
        || recorded["decidedBy"] != by.to_string()
}

/// Returns how often each released call is claimed, until none is left.
async fn released_calls(env: &StressEnv) -> Result<HashMap<String, usize>> {
    let mut calls: HashMap<String, usize> = HashMap::new();
    loop {
        // Calls of one session are claimed one after the other.
        let claimed = env.stack.claim_deliveries().await?;
        if claimed.is_empty() {
            return Ok(calls);
        }
        for call in claimed {
            let id = call["decision"]["escalationId"].as_str().unwrap_or_default();
            *calls.entry(id.to_owned()).or_default() += 1;
            env.stack.finish_delivery(&call, json!({ "kind": "completed" })).await?;
        }
    }
}

/// Requests `count` payments.
async fn request_payments(env: &StressEnv, count: usize) -> Result<()> {
    let sessions = count.div_ceil(PAYMENTS_PER_SESSION);
    let escalations = run_concurrently(sessions, CONCURRENCY, async |number| {
        let person = env.person(number);
        let session = env.open_session(person).await?;
        let clicks: Vec<Value> = (number * PAYMENTS_PER_SESSION
            ..count.min((number + 1) * PAYMENTS_PER_SESSION))
            .map(|invoice| {
                let payload = json!({ "action": "pay", "data": { "invoice": invoice, "amount": 12_000 } });
                json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": payload })
            })
            .collect();
        let response = env.send_until_response(person, &Request::record(&session, json!(clicks))).await;
        ensure!(response.is_success(), "the payments were not requested: {response:?}");
        Ok(())
    });
    escalations.await.into_iter().collect()
}

/// Lists the approver's open escalations, page by page.
async fn list_escalations(env: &StressEnv, approver: &Person) -> Result<Vec<Value>> {
    let mut escalations = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/chatkit/escalations?limit=25{cursor}");
        let page = env.send_until_response(approver, &Request::read(path)).await.body;
        escalations
            .extend(page["escalations"].as_array().context("the page has no escalations")?.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(escalations),
        }
    }
}

/// Returns the recorded decisions: decision, user, and number of events.
async fn recorded_decisions(env: &StressEnv) -> Result<HashMap<String, (String, Uuid, i64)>> {
    let query = "select x.id::text, x.decision, x.decided_by, (
             select count(*) from chat_events as e
             where e.session_id = x.session_id and e.type = 'hitl_resolved' and e.payload ->> 'escalationId' = x.id::text
         )
         from chat_escalations as x where x.status = 'resolved'";
    let rows: Vec<(String, String, Uuid, i64)> =
        sqlx::query_as(query).fetch_all(env.stack.database()).await?;
    Ok(rows.into_iter().map(|(id, decision, by, events)| (id, (decision, by, events))).collect())
}
