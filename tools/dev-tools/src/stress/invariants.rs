//! What must be true of the database and of OpenAI whatever happened.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Result;

use super::env::Ground;
use super::measurement::Figure;
use local_stack::openai::SessionStatus;

/// No ChatKit session lives longer.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 60 + 1);

/// Rules of the database, each with a query for what breaks it.
const RULES: &[(&str, &str)] = &[
    (
        "active sessions without a ChatKit session on record",
        "select s.id::text from chat_sessions as s
         where s.status = 'active' and not exists (
           select from chatkit_sessions as c where c.session_id = s.id and c.recorded_at is not null)",
    ),
    (
        "requests to OpenAI that nobody settled",
        "select id::text from chatkit_sessions where recorded_at is null and failed_at is null",
    ),
    (
        "secrets kept of ended sessions",
        "select c.id::text from chatkit_sessions as c join chat_sessions as s on s.id = c.session_id
         where s.status = 'ended' and c.sealed_secret is not null",
    ),
    (
        "sessions whose events have gaps or were counted twice",
        "select s.id::text from chat_sessions as s
         where s.last_event_seq <> (select count(*) from chat_events as e where e.session_id = s.id)
            or s.last_event_seq <> (select coalesce(max(e.seq), 0) from chat_events as e where e.session_id = s.id)",
    ),
    (
        "sessions whose end is not audited exactly once",
        "select s.id::text from chat_sessions as s
         where (s.status = 'ended')::integer <> (
           select count(*) from chat_events as e where e.session_id = s.id and e.type = 'session_ended')",
    ),
    (
        "keys of which an attempt is still said to run",
        "select session_id::text from idempotency_keys where lease_until > clock_timestamp()",
    ),
    (
        "open escalations of ended sessions",
        "select x.id::text from chat_escalations as x join chat_sessions as s on s.id = x.session_id
         where x.status = 'open' and s.status = 'ended'",
    ),
];

/// Compares the database with itself and with OpenAI, once everything had the time to be settled. In the end no ChatKit session
/// is alive any more, since its ten minutes are over.
pub async fn figures(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = settled(ground).await?;
    let known = on_record(ground).await?;
    ground.stack.openai().set_clock_offset(LONGEST_LIFE);
    let later = ground.stack.openai().sessions();
    let unknown = later.iter().filter(|s| s.status == SessionStatus::Active && !known.contains_key(&s.id));
    figures
        .push(Figure::none("live ChatKit sessions without a row, past their ten minutes", unknown.count()));
    Ok(figures)
}

/// The same without waiting for anybody's ten minutes.
pub async fn settled(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (rule, query) in RULES {
        let found: Vec<String> = sqlx::query_scalar(*query).fetch_all(ground.stack.database()).await?;
        figures.push(Figure::violations(rule, &found));
    }
    let (known, there) = (on_record(ground).await?, ground.stack.openai().sessions());
    let ids: HashSet<&str> = there.iter().map(|session| session.id.as_str()).collect();
    let made_up: Vec<String> = known.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
    let alive = there.iter().filter(|session| session.status == SessionStatus::Active);
    let retired: Vec<String> =
        alive.map(|s| s.id.clone()).filter(|id| known.get(id) == Some(&false)).collect();
    figures.push(Figure::violations("ChatKit sessions on record that OpenAI never had", &made_up));
    figures.push(Figure::violations("live ChatKit sessions that should have been cancelled", &retired));
    Ok(figures)
}

/// The ChatKit sessions that the database knows, and whether each may live.
async fn on_record(ground: &Ground) -> Result<HashMap<String, bool>> {
    let query =
        "select c.chatkit_session_id, s.status = 'active' and s.agent_id = c.agent_id and c.failed_at is null
                 from chatkit_sessions as c join chat_sessions as s on s.id = c.session_id
                 where c.chatkit_session_id is not null";
    Ok(sqlx::query_as(query).fetch_all(ground.stack.database()).await?.into_iter().collect())
}
