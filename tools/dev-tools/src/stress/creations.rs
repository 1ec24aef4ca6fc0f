//! Creations while a fifth of all calls upstream go wrong.

use std::collections::HashSet;

use anyhow::Result;

use super::env::{AT_ONCE, Ground, Insisted, each};
use super::invariants;
use super::measurement::Figure;
use super::requests::Wish;
use local_stack::openai::On;
use local_stack::supabase::FailureSet;

/// How often a client asks before it gives up.
const TRIES: u32 = 3;

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    // What passes: a client that asks three times is promised an answer of no other.
    ground.trouble(0.2, FailureSet::Transient).await;
    let outcomes = each(count, AT_ONCE, async |number| {
        let wish = Wish::open(Some(format!("creation-{number}")));
        ground.insist(ground.person(number), &wish, TRIES).await
    })
    .await;
    ground.calm().await;
    ground.leases_ran_out().await?;
    ground.run_job().await?;

    let opened: Vec<&Insisted> = outcomes.iter().filter(|outcome| outcome.reply.is_done()).collect();
    let ids: HashSet<&str> = opened.iter().filter_map(|outcome| outcome.reply.body["id"].as_str()).collect();
    let repeated = outcomes.iter().filter(|outcome| outcome.tries > 1).count();
    let calls = ground.stack.openai().calls(On::CreateSession);
    let made = calls.iter().filter(|call| call.worked == Some(200)).count();
    let query = "select s.id::text from chat_sessions as s
                 where s.status = 'active' and not exists (select from idempotency_keys as k where k.session_id = s.id)";
    let without_key: Vec<String> = sqlx::query_scalar(query).fetch_all(ground.stack.database()).await?;
    let mut figures = vec![
        Figure::some("calls upstream that went wrong", ground.gone_wrong()),
        Figure::told("requests that were repeated by their client", repeated),
        Figure::at_least("succeeded within 3 client tries", opened.len(), count, 99.0),
        Figure::at_most("upstream creations per logical creation", made, count, 1.3),
        Figure::exactly("sessions, one for each creation that succeeded", ids.len(), opened.len()),
        Figure::violations("active sessions that no key stands for", &without_key),
        Figure::violations(
            "secrets that are not of the session's own ChatKit session",
            &foreign(ground, &opened),
        ),
    ];
    figures.extend(invariants::figures(ground).await?);
    Ok(figures)
}

/// Secrets that were handed out and that OpenAI does not know under the id that was named with them.
fn foreign(ground: &Ground, opened: &[&Insisted]) -> Vec<String> {
    let there = ground.stack.openai().sessions();
    let known: HashSet<(&str, &str)> =
        there.iter().map(|session| (session.id.as_str(), session.client_secret.reveal())).collect();
    let named = opened.iter().filter(|outcome| {
        let id = outcome.reply.body["chatkit"]["sessionId"].as_str().unwrap_or_default();
        !known.contains(&(id, outcome.reply.secret().unwrap_or_default()))
    });
    named.map(|outcome| outcome.reply.body["id"].to_string()).collect()
}
