//! Events while a fifth of all calls upstream go wrong, each sent until it is acknowledged.

use std::collections::HashMap;

use anyhow::Result;
use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{AT_ONCE, Ground, each};
use super::invariants;
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::supabase::FailureSet;

/// Events share sessions, so that they meet there.
const EVENTS_A_SESSION: usize = 40;

/// Nobody has to ask more often.
const MOST_TRIES: u32 = 40;

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let owners = each(count.div_ceil(EVENTS_A_SESSION), AT_ONCE, async |number| {
        Ok::<_, anyhow::Error>((number, ground.opened(ground.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = owners.await.into_iter().collect::<Result<_>>()?;
    let calls = calls(&mut ground.rng(0), count);
    ground.trouble(0.2, FailureSet::All).await;
    let outcomes = each(calls.len(), AT_ONCE, async |number| {
        let (owner, session) = &sessions[number % sessions.len()];
        let wish = Wish::record(session, Value::Array(calls[number].clone()));
        ground.insist(ground.person(*owner), &wish, MOST_TRIES).await
    })
    .await;
    ground.calm().await;

    let query = "select id, count(*) from chat_events where actor_type = 'user' group by id";
    let stored: HashMap<Uuid, i64> =
        sqlx::query_as(query).fetch_all(ground.stack.database()).await?.into_iter().collect();
    let sent: Vec<Uuid> = calls.iter().flatten().filter_map(id).collect();
    let lost = sent.iter().filter(|id| !stored.contains_key(id)).count();
    let doubled = stored.values().filter(|count| **count != 1).count();
    let unacknowledged = outcomes.iter().filter(|outcome| outcome.reply.status != Some(201)).count();
    let repeated = outcomes.iter().filter(|outcome| outcome.tries > 1).count();
    let mut figures = vec![
        Figure::some("calls upstream that went wrong", ground.gone_wrong()),
        Figure::told("requests that were repeated by their client", repeated),
        Figure::none("requests that were never acknowledged", unacknowledged),
        Figure::exactly("events on record", stored.len(), sent.len()),
        Figure::none("events lost", lost),
        Figure::none("events doubled", doubled),
        Figure::none("calls whose events are not in the order sent", disordered(ground, &calls).await?),
        Figure::none(
            "answers that name other events than were sent",
            misnamed(&calls, &outcomes.iter().map(|o| &o.reply).collect::<Vec<_>>()),
        ),
    ];
    figures.extend(invariants::figures(ground).await?);
    Ok(figures)
}

/// So many events in calls of one to twenty.
fn calls(rng: &mut Rng, count: usize) -> Vec<Vec<Value>> {
    let (mut calls, mut left) = (Vec::new(), count);
    while left > 0 {
        // Most calls bring one.
        let size = if rng.u8(..4) > 0 { 1 } else { rng.usize(1..=20) }.min(left);
        let event = |rng: &mut Rng| {
            let id = Uuid::from_u128(rng.u128(..));
            json!({ "id": id, "type": "custom_click", "payload": { "of": id } })
        };
        calls.push((0..size).map(|_| event(rng)).collect());
        left -= size;
    }
    calls
}

fn id(event: &Value) -> Option<Uuid> {
    event["id"].as_str()?.parse().ok()
}

async fn disordered(ground: &Ground, calls: &[Vec<Value>]) -> Result<usize> {
    let query = "select id, seq from chat_events where actor_type = 'user'";
    let order: HashMap<Uuid, i64> =
        sqlx::query_as(query).fetch_all(ground.stack.database()).await?.into_iter().collect();
    let places = calls.iter().map(|call| call.iter().filter_map(id).filter_map(|id| order.get(&id)));
    Ok(places.filter(|places| !places.clone().is_sorted()).count())
}

/// Every acknowledgement names an id for each event that was sent with it, in its order. Which call an answer belongs to is told
/// by its first id.
fn misnamed(calls: &[Vec<Value>], replies: &[&TestResponse]) -> usize {
    let by_first: HashMap<Uuid, &Vec<Value>> =
        calls.iter().filter_map(|call| Some((id(call.first()?)?, call))).collect();
    let names = |reply: &TestResponse| -> Vec<Uuid> {
        reply.body["events"].as_array().into_iter().flatten().filter_map(id).collect()
    };
    let wrong = |reply: &&&TestResponse| {
        let named = names(reply);
        let call = named.first().and_then(|first| by_first.get(first));
        call.is_none_or(|call| call.iter().filter_map(id).collect::<Vec<_>>() != named)
    };
    replies.iter().filter(|reply| reply.is_done()).filter(wrong).count()
}
