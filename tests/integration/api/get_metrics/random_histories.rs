//! The metrics of random histories equal a recount of the rows.

use anyhow::{Context, Result};
use jiff::Timestamp;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use super::MetricsQuery;
use super::generator::HistoryGenerator;
use super::recount::{compare, recount};
use super::rows::{Micros, Rows};
use crate::support::client::{AGENT, TestClient};

const HISTORIES: usize = 2;
const DAY: Micros = 86_400_000_000;

#[tokio::test]
async fn metrics_of_random_histories_equal_a_recount() -> Result<()> {
    let stack = LocalStack::start().await?;
    for _ in 0..HISTORIES {
        let seed = std::env::var("METRICS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        // The seed in the error reproduces a failure.
        check_history(&stack, seed).await.with_context(|| format!("METRICS_SEED={seed}"))?;
    }
    Ok(())
}

/// Compares the metrics of one history before any session, after the first ones, and after changes.
async fn check_history(stack: &LocalStack, seed: u64) -> Result<()> {
    let (member, foreign_org) = (TestClient::new(stack).await?, Uuid::new_v4());
    let organisations = [member.user.org_id, foreign_org];
    let approver = TestClient::in_organisation(stack, member.user.org_id, OrgRole::Approver).await?;
    let mut history = HistoryGenerator::new(seed);
    compare_with_recount(stack, &approver, &mut history).await.context("before any session")?;
    history.add_sessions(stack, &organisations, 120).await?;
    compare_with_recount(stack, &approver, &mut history).await.context("after the first sessions")?;
    // Sessions of today through the API, and more sessions of the past days.
    use_api(&member).await?;
    history.add_sessions(stack, &organisations, 40).await?;
    history.change_sessions(stack).await?;
    compare_with_recount(stack, &approver, &mut history).await.context("after later changes")
}

/// Opens one session with a decided escalation, and one that is cancelled.
async fn use_api(member: &TestClient) -> Result<()> {
    let escalated = member.open_session_path().await?;
    let question = json!({ "reason": "Is it right?", "decisions": ["approve"] });
    let event = member.record_event(&escalated, "hitl_escalation", question).await?.expect(201)?;
    let escalation = event["events"][0]["escalationId"].as_str().context("the event has no escalation id")?;
    let list = member.get("/chatkit/escalations").await?.expect(200)?;
    let open = list["escalations"].as_array().into_iter().flatten().find(|open| open["id"] == escalation);
    let open = open.context("expected the escalation in the list")?;
    let decision = json!({ "decision": "approve", "subjectHash": open["subjectHash"] });
    member.post(&format!("/chatkit/escalations/{escalation}/decision"), decision).await?.expect(200)?;
    let ended = member.open_session_path().await?;
    member.record_event(&ended, "button_click", json!({ "action": AGENT })).await?.expect(201)?;
    member.cancel(&ended).await?.expect(200)?;
    Ok(())
}

/// The window between the first and the third quartile.
fn middle_half(mut times: Vec<Micros>) -> Option<(Micros, Micros)> {
    times.sort_unstable();
    Some((*times.get(times.len() / 4)?, *times.get(times.len() * 3 / 4)?))
}

/// Compares the metrics of many windows, by every bucket and group.
async fn compare_with_recount(
    stack: &LocalStack,
    approver: &TestClient,
    history: &mut HistoryGenerator,
) -> Result<()> {
    let rows = Rows::read(stack, approver.user.org_id).await?;
    let mut windows: Vec<(Micros, Micros)> = (0..2).map(|_| (history.time(), history.time())).collect();
    let today = Timestamp::now().as_microsecond() / DAY * DAY;
    // All rows, whole days, and a window across midnight.
    windows.extend([
        (today - 5 * DAY, today + DAY),
        (today - DAY, today),
        (today - DAY / 8, today + DAY / 8),
    ]);
    // Windows whose bounds are times of rows. A row at the end of a window is not in it.
    let created = rows.sessions.iter().map(|session| session.created_at).collect();
    let ended = rows.sessions.iter().filter_map(|session| session.ended_at).collect();
    let escalated = rows.escalations.iter().map(|escalation| escalation.created_at).collect();
    let delivered = rows.deliveries.iter().map(|delivery| delivery.created_at).collect();
    windows.extend([created, ended, escalated, delivered].into_iter().filter_map(middle_half));
    for (one, other) in windows {
        let (from, to) = (one.min(other), one.max(other).max(one.min(other) + 1));
        for bucket in ["hour", "day"] {
            for group_by in ["none", "agent", "channel"] {
                let query = MetricsQuery {
                    from: Timestamp::from_microsecond(from)?,
                    to: Timestamp::from_microsecond(to)?,
                    bucket,
                    group_by,
                    service_level_seconds: *history.rng.choice(&[1, 3600, 86_400]).unwrap_or(&3600),
                };
                let metrics = query.fetch(approver).await?;
                let as_of = metrics["asOf"].as_str().context("the response has no asOf")?.parse()?;
                compare("", &recount(&rows, &query, as_of)?, &metrics)
                    .with_context(|| format!("{query:?}"))?;
            }
        }
    }
    Ok(())
}
