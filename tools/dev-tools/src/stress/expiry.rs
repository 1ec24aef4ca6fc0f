//! Sessions that become idle, and people who come back just then.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::env::{AGENT, AT_ONCE, Ground, each};
use super::invariants;
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};

/// Runs of the scheduler at the same time.
const ROUNDS_AT_ONCE: usize = 3;

/// How soon after the one before the next user comes back: about as fast as sessions are ended.
const RETURNING: Duration = Duration::from_millis(8);

/// One in so many comes back when all is over.
const LATE: usize = 9;

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let opened = each(count, AT_ONCE, async |number| open(ground, number).await).await;
    let sessions: Vec<(usize, Value)> = opened.into_iter().collect::<Result<_>>()?;
    let age = "update chat_sessions set last_activity_at = now() - interval '25 hours'";
    sqlx::query(age).execute(ground.stack.database()).await?;

    // Every second session's user comes back, one after the other while the runs go on.
    let (started, (end, over)) = (Instant::now(), watch::channel(false));
    let returning = each(count, count, async |place| {
        let (number, session) = &sessions[place];
        let mut rng = ground.rng(*number);
        if rng.bool() {
            return None;
        }
        if place % LATE == 0 {
            drop(over.clone().wait_for(|over| *over).await);
        } else {
            tokio::time::sleep_until(started + RETURNING * u32::try_from(place).unwrap_or(u32::MAX)).await;
        }
        let event = json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "custom_back" });
        let reply = ground.insist(ground.person(*number), &Wish::record(session, event), 5).await.reply;
        Some((session["id"].clone(), reply))
    });
    let runs = async {
        let expired = try_join_all((0..ROUNDS_AT_ONCE).map(|_| runs(ground, count))).await;
        end.send_replace(true);
        expired
    };
    let (returned, runs) = tokio::join!(returning, runs);
    let expired: u64 = runs?.into_iter().sum();
    let returned: Vec<(Value, TestResponse)> = returned.into_iter().flatten().collect();
    figures(ground, expired, &returned).await
}

/// A session as `open_session` leaves it. Without ChatKit, which plays no part here.
async fn open(ground: &Ground, number: usize) -> Result<(usize, Value)> {
    let user = &ground.person(number).user;
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": Uuid::now_v7(),
        "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {},
    });
    let (status, answer) = ground.stack.rpc("open_session", arguments).await?;
    ensure!(status.is_success(), "open_session answered {status}: {answer}");
    Ok((number, answer["session"].clone()))
}

/// Runs until several of them find nothing to do.
async fn runs(ground: &Ground, count: usize) -> Result<u64> {
    let (mut expired, mut idle_rounds) = (0, 0);
    while idle_rounds < 3 {
        let report = ground.run_job().await?;
        let now = report["expiredSessions"].as_u64().unwrap_or_default();
        idle_rounds = if now == 0 { idle_rounds + 1 } else { 0 };
        expired += now;
        tokio::time::sleep(Duration::from_millis(count as u64 / 10)).await;
    }
    Ok(expired)
}

async fn figures(ground: &Ground, expired: u64, returned: &[(Value, TestResponse)]) -> Result<Vec<Figure>> {
    let database = ground.stack.database();
    let query = "select id::text from chat_sessions where status = 'ended' and end_reason = 'expired'";
    let ended: HashSet<String> = sqlx::query_scalar(query).fetch_all(database).await?.into_iter().collect();
    // By the database's own words: something happened in a session that was ended for nothing happening.
    let query = "select distinct e.session_id::text from chat_events as e join chat_sessions as s on s.id = e.session_id
                 where s.end_reason = 'expired' and e.actor_type <> 'system'";
    let newer: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;
    let query = "select id::text from chat_sessions as s where status = 'active' and last_activity_at < now() - interval '24 hours'";
    let forgotten: Vec<String> = sqlx::query_scalar(query).fetch_all(database).await?;

    let (mut taken, mut too_late, mut strange) = (0, 0, Vec::new());
    for (id, reply) in returned {
        let is_ended = id.as_str().is_some_and(|id| ended.contains(id));
        match (reply.status, reply.code()) {
            (Some(201), None) if !is_ended => taken += 1,
            (Some(409), Some("session_ended")) if is_ended => too_late += 1,
            _ => strange.push(format!("{id}: {reply:?}")),
        }
    }
    let mut figures = vec![
        Figure::some("users who came back in time", taken),
        Figure::some("users who came back too late", too_late),
        Figure::violations("sessions ended after newer activity", &newer),
        Figure::violations("answers that the session's state belies", &strange),
        Figure::violations("idle sessions that were left", &forgotten),
        Figure::exactly("sessions ended, as the runs reported", usize::try_from(expired)?, ended.len()),
    ];
    // These sessions were opened without ChatKit, so the rule about that says nothing here.
    let rules = invariants::figures(ground).await?;
    figures.extend(rules.into_iter().filter(|figure| !figure.what.contains("without a ChatKit session")));
    Ok(figures)
}
