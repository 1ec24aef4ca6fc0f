//! Every answer equals a plain recount, whatever happened, is asked for, or arrives late.

use anyhow::{Context, Result};
use jiff::Timestamp;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use super::Question;
use super::generator::History;
use super::recount::{compare, recount};
use super::rows::{Micros, Rows};
use crate::support::client::{AGENT, TestClient};

const HISTORIES: usize = 2;

// NAME: metrics: each answer equals a recount of the rows, across midnight and with late ones
#[tokio::test]
async fn histories() -> Result<()> {
    let stack = LocalStack::start().await?;
    for _ in 0..HISTORIES {
        let seed = std::env::var("METRICS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        // What failed can be had again.
        history(&stack, seed).await.with_context(|| format!("METRICS_SEED={seed}"))?;
    }
    Ok(())
}

async fn history(stack: &LocalStack, seed: u64) -> Result<()> {
    let (here, elsewhere) = (TestClient::new(stack).await?, Uuid::new_v4());
    let organisations = [here.user.org_id, elsewhere];
    let approver = TestClient::joining(stack, here.user.org_id, OrgRole::Approver).await?;
    let mut history = History::new(seed);
    as_recounted(stack, &approver, &mut history).await.context("of nothing")?;
    history.go_on(stack, &organisations, 120).await?;
    as_recounted(stack, &approver, &mut history).await.context("of what was there first")?;
    // Some of today as users make it, and more of the past days.
    by_users(&here).await?;
    history.go_on(stack, &organisations, 40).await?;
    history.move_on(stack).await?;
    as_recounted(stack, &approver, &mut history).await.context("of what was there later")
}

/// Sessions by the API: one asks and is answered, one goes to another agent's hands, one ends.
async fn by_users(member: &TestClient) -> Result<()> {
    let asked = member.open_path().await?;
    let question = json!({ "reason": "Is it right?", "decisions": ["approve"] });
    let event = member.record(&asked, "hitl_escalation", question).await?.expect(201)?;
    let escalation = event["events"][0]["escalationId"].as_str().context("nothing was asked")?;
    let read = member.get("/chatkit/escalations").await?.expect(200)?;
    let open = read["escalations"].as_array().into_iter().flatten().find(|open| open["id"] == escalation);
    let decision =
        json!({ "decision": "approve", "subjectHash": open.context("not listed")?["subjectHash"] });
    member.post(&format!("/chatkit/escalations/{escalation}/decision"), decision).await?.expect(200)?;
    let ended = member.open_path().await?;
    member.record(&ended, "button_click", json!({ "action": AGENT })).await?.expect(201)?;
    member.cancel(&ended).await?.expect(200)?;
    Ok(())
}

/// From the moment that a quarter of these come before to that which three quarters do.
fn middle(mut moments: Vec<Micros>) -> Option<(Micros, Micros)> {
    moments.sort_unstable();
    Some((*moments.get(moments.len() / 4)?, *moments.get(moments.len() * 3 / 4)?))
}

/// Asks by every bucket and group of many windows.
async fn as_recounted(stack: &LocalStack, approver: &TestClient, history: &mut History) -> Result<()> {
    let rows = Rows::read(stack, approver.user.org_id).await?;
    let mut windows: Vec<(Micros, Micros)> = (0..2).map(|_| (history.moment(), history.moment())).collect();
    let day = 86_400_000_000;
    let today = Timestamp::now().as_microsecond() / day * day;
    // All of it; days as they are; and a night.
    windows.extend([
        (today - 5 * day, today + day),
        (today - day, today),
        (today - day / 8, today + day / 8),
    ]);
    // Just what rows bound: what is at the end is not in it.
    let created = rows.sessions.iter().map(|session| session.created_at).collect();
    let ended = rows.sessions.iter().filter_map(|session| session.ended_at).collect();
    let asked = rows.escalations.iter().map(|escalation| escalation.created_at).collect();
    let sent = rows.deliveries.iter().map(|delivery| delivery.created_at).collect();
    windows.extend([created, ended, asked, sent].into_iter().filter_map(middle));
    for (one, other) in windows {
        let (from, to) = (one.min(other), one.max(other).max(one.min(other) + 1));
        for bucket in ["hour", "day"] {
            for group_by in ["none", "agent", "channel"] {
                let question = Question {
                    from: Timestamp::from_microsecond(from)?,
                    to: Timestamp::from_microsecond(to)?,
                    bucket,
                    group_by,
                    service_level_seconds: *history.rng.choice(&[1, 3600, 86_400]).unwrap_or(&3600),
                };
                let answer = question.ask(approver).await?;
                let as_of = answer["asOf"].as_str().context("no asOf")?.parse()?;
                compare("", &recount(&rows, &question, as_of)?, &answer)
                    .with_context(|| format!("{question:?}"))?;
            }
        }
    }
    Ok(())
}
