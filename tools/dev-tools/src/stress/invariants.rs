//! Invariants of the database and of OpenAI.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Result;

use super::env::StressEnv;
use super::measurement::Measurement;
use local_stack::openai::SessionStatus;

/// The longest lifetime of a ChatKit session.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 60 + 1);

/// Invariants, each with a query for its violations.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "active sessions without a recorded ChatKit session",
        "select s.id::text from chat_sessions as s
         where s.status = 'active' and not exists (
           select from chatkit_sessions as c where c.session_id = s.id and c.recorded_at is not null)",
    ),
    (
        "requests to OpenAI without a recorded outcome",
        "select id::text from chatkit_sessions where recorded_at is null and failed_at is null",
    ),
    (
        "sealed secrets of ended sessions",
        "select c.id::text from chatkit_sessions as c join chat_sessions as s on s.id = c.session_id
         where s.status = 'ended' and c.sealed_secret is not null",
    ),
    (
        "sessions whose events have gaps or duplicates",
        "select s.id::text from chat_sessions as s
         where s.last_event_seq <> (select count(*) from chat_events as e where e.session_id = s.id)
            or s.last_event_seq <> (select coalesce(max(e.seq), 0) from chat_events as e where e.session_id = s.id)",
    ),
    (
        "sessions without exactly one event for their end",
        "select s.id::text from chat_sessions as s
         where (s.status = 'ended')::integer <> (
           select count(*) from chat_events as e where e.session_id = s.id and e.type = 'session_ended')",
    ),
    (
        "idempotency keys with an active lease",
        "select session_id::text from idempotency_keys where lease_until > clock_timestamp()",
    ),
    (
        "open escalations of ended sessions",
        "select x.id::text from chat_escalations as x join chat_sessions as s on s.id = x.session_id
         where x.status = 'open' and s.status = 'ended'",
    ),
];

/// Checks the database and compares it with OpenAI, after all leases have expired. Finally no
/// ChatKit session is active, because its ten minutes are over.
pub async fn check(env: &StressEnv) -> Result<Vec<Measurement>> {
    let mut measurements = check_settled(env).await?;
    let known = recorded_sessions(env).await?;
    env.stack.openai().set_clock_offset(MAX_LIFETIME);
    let later = env.stack.openai().sessions();
    let unknown = later.iter().filter(|s| s.status == SessionStatus::Active && !known.contains_key(&s.id));
    measurements
        .push(Measurement::zero("active ChatKit sessions without a row, after ten minutes", unknown.count()));
    Ok(measurements)
}

/// The same without moving the fake's clock.
pub async fn check_settled(env: &StressEnv) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (name, query) in INVARIANTS {
        let found: Vec<String> = sqlx::query_scalar(*query).fetch_all(env.stack.database()).await?;
        measurements.push(Measurement::violations(name, &found));
    }
    let (known, sessions) = (recorded_sessions(env).await?, env.stack.openai().sessions());
    let ids: HashSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    let unknown_to_openai: Vec<String> =
        known.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
    let active = sessions.iter().filter(|session| session.status == SessionStatus::Active);
    let uncancelled: Vec<String> =
        active.map(|s| s.id.clone()).filter(|id| known.get(id) == Some(&false)).collect();
    measurements.push(Measurement::violations(
        "recorded ChatKit sessions that OpenAI does not have",
        &unknown_to_openai,
    ));
    measurements
        .push(Measurement::violations("active ChatKit sessions that should be cancelled", &uncancelled));
    Ok(measurements)
}

/// Returns the recorded ChatKit sessions, and whether each may be active.
async fn recorded_sessions(env: &StressEnv) -> Result<HashMap<String, bool>> {
    let query =
        "select c.chatkit_session_id, s.status = 'active' and s.agent_id = c.agent_id and c.failed_at is null
                 from chatkit_sessions as c join chat_sessions as s on s.id = c.session_id
                 where c.chatkit_session_id is not null";
    Ok(sqlx::query_as(query).fetch_all(env.stack.database()).await?.into_iter().collect())
}
