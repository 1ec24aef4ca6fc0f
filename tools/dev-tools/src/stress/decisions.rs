//! Many devices decide the same thing at once.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{AGENT, AT_ONCE, Ground, Person, each};
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::supabase::OrgRole;

/// Devices that click on each escalation. Its approvers have some each.
const DEVICES: usize = 8;

/// Approvers, of whom every other rejects.
const APPROVERS: usize = 4;

/// Payments that are asked for in one session.
const A_SESSION: usize = 50;

/// A device, and what it was told.
struct Click {
    decision: &'static str,
    by: Uuid,
    reply: TestResponse,
}

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    // Calls are looked at here and not made.
    ground.stack.webhook().inspect(|webhook| webhook.cut(true));
    let org_id = ground.person(0).user.org_id;
    let tool = json!({ "name": "pay", "policy": "ask", "risk": "high", "approver": "other" });
    ground.stack.register_tool(org_id, AGENT, tool).await?;
    let mut approvers = Vec::new();
    for _ in 0..APPROVERS {
        approvers.push(ground.joining(OrgRole::Approver).await?);
    }
    ask_for(ground, count).await?;
    let held = ground.stack.claim_all().await?;
    let asked = asked(ground, &approvers[0]).await?;

    let raced = each(asked.len(), AT_ONCE / DEVICES, async |number| {
        let escalation = &asked[number];
        let clicks = each(DEVICES, DEVICES, async |device| {
            let place = device % APPROVERS;
            let decision = if place % 2 == number % 2 { "approve" } else { "reject" };
            let wish = Wish::decide(escalation, decision);
            let by = approvers[place].user.id;
            Click { decision, by, reply: ground.answered(&approvers[place], &wish).await }
        });
        (escalation["id"].as_str().unwrap_or_default().to_owned(), clicks.await)
    })
    .await;

    let mut calls = released(ground).await?;
    let decided = decided(ground).await?;
    let mut strange = Vec::new();
    let (mut lost, mut approved) = (0, 0);
    for (id, clicks) in &raced {
        let (decision, by, events) = decided.get(id).context("an escalation that is not decided")?;
        let effects = calls.remove(id).unwrap_or_default();
        if *events != 1 || effects != usize::from(decision == "approve") {
            strange.push(format!("{id}: {decision}, {events} events, {effects} calls"));
        }
        approved += usize::from(decision == "approve");
        for click in clicks {
            let won = click.by == *by && click.decision == decision;
            let wrong = if won { wrong_for_winner(click, id) } else { wrong_for_loser(click, decision, *by) };
            strange.extend(
                wrong.then(|| format!("{id}: {} by {} was told {:?}", click.decision, click.by, click.reply)),
            );
            lost += usize::from(!won);
        }
    }
    strange.extend(calls.keys().map(|id| format!("{id:?} is called and nobody released it")));
    Ok(vec![
        Figure::exactly("calls before anybody decided", held.len(), 0),
        Figure::exactly("escalations, each with one decision", decided.len(), count),
        Figure::some("of them approved, each with one call", approved),
        Figure::some("of them rejected, with none", decided.len() - approved),
        Figure::exactly("clicks", raced.iter().map(|(_, clicks)| clicks.len()).sum(), count * DEVICES),
        Figure::some("clicks that came too late, and heard who won", lost),
        Figure::violations("second decisions, second calls, and any other outcome", &strange),
    ])
}

/// The winner's own, on whatever device.
fn wrong_for_winner(click: &Click, id: &str) -> bool {
    let escalation = &click.reply.body["escalation"];
    click.reply.status != Some(200) || escalation["id"] != id || escalation["decision"] != click.decision
}

/// Who comes too late is told what stands.
fn wrong_for_loser(click: &Click, decision: &str, by: Uuid) -> bool {
    let told = &click.reply.body["decision"];
    (click.reply.status, click.reply.code()) != (Some(409), Some("escalation_resolved"))
        || told["decision"] != decision
        || told["decidedBy"] != by.to_string()
}

/// How often what each escalation released is called, until nothing is left to call.
async fn released(ground: &Ground) -> Result<HashMap<String, usize>> {
    let mut calls: HashMap<String, usize> = HashMap::new();
    loop {
        // Those of a session come one after the other.
        let claimed = ground.stack.claim_all().await?;
        if claimed.is_empty() {
            return Ok(calls);
        }
        for call in claimed {
            let id = call["decision"]["escalationId"].as_str().unwrap_or_default();
            *calls.entry(id.to_owned()).or_default() += 1;
            ground.stack.finish(&call, json!({ "kind": "completed" })).await?;
        }
    }
}

/// Has people ask for so many payments.
async fn ask_for(ground: &Ground, count: usize) -> Result<()> {
    let sessions = count.div_ceil(A_SESSION);
    let asked = each(sessions, AT_ONCE, async |number| {
        let person = ground.person(number);
        let session = ground.opened(person).await?;
        let clicks: Vec<Value> = (number * A_SESSION..count.min((number + 1) * A_SESSION))
            .map(|invoice| {
                let payload = json!({ "action": "pay", "data": { "invoice": invoice, "amount": 12_000 } });
                json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": payload })
            })
            .collect();
        let reply = ground.answered(person, &Wish::record(&session, json!(clicks))).await;
        ensure!(reply.is_done(), "the payments were not asked for: {reply:?}");
        Ok(())
    });
    asked.await.into_iter().collect()
}

/// All that waits for this approver, page by page.
async fn asked(ground: &Ground, approver: &Person) -> Result<Vec<Value>> {
    let mut asked = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/chatkit/escalations?limit=25{cursor}");
        let page = ground.answered(approver, &Wish::read(path)).await.body;
        asked.extend(page["escalations"].as_array().context("no page")?.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(asked),
        }
    }
}

/// What stands in the database: the decision, whose, and how many events say it.
async fn decided(ground: &Ground) -> Result<HashMap<String, (String, Uuid, i64)>> {
    let query = "select x.id::text, x.decision, x.decided_by, (
             select count(*) from chat_events as e
             where e.session_id = x.session_id and e.type = 'hitl_resolved' and e.payload ->> 'escalationId' = x.id::text
         )
         from chat_escalations as x where x.status = 'resolved'";
    let rows: Vec<(String, String, Uuid, i64)> =
        sqlx::query_as(query).fetch_all(ground.stack.database()).await?;
    Ok(rows.into_iter().map(|(id, decision, by, events)| (id, (decision, by, events))).collect())
}
