//! Compares every call that the agents received with the database: whether its dispatcher survived
//! and its response arrived.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use sqlx::PgPool;

use super::measurement::Measurement;
use local_stack::agents::{Agent, SentResponse};

/// The longest lease of a call, by the timeout of the stack's agents.
const LEASE: Duration = Duration::from_secs(25);

/// A later response may be too late: the dispatcher times out after five seconds.
const RESPONSE_DEADLINE: Duration = Duration::from_millis(4500);

/// A call may have been sent this long before it arrived.
const SEND_TOLERANCE: Duration = Duration::from_millis(200);

/// An agent, and whether its tool is idempotent.
pub struct CalledAgent<'a> {
    pub agent: &'a Agent,
    pub idempotent: bool,
}

/// The final state of a delivery.
struct Delivery {
    status: String,
    finished_at: Option<SystemTime>,
    escalated: bool,
}

/// A call of a tool.
struct Call {
    key: String,
    at: SystemTime,
    sent: SentResponse,
    /// When a call with the same key followed.
    repeated_at: Option<SystemTime>,
    idempotent: bool,
}

impl Call {
    /// Returns whether the complete response was sent while the dispatcher waited.
    fn has_arrived(&self) -> bool {
        matches!(self.sent, SentResponse::Complete(at) if at.duration_since(self.at).is_ok_and(|took| took < RESPONSE_DEADLINE))
    }

    /// Returns whether the dispatcher was killed during the call. Each kill ends all dispatchers.
    fn was_killed(&self, delivery: &Delivery, kills: &[SystemTime]) -> bool {
        let ends = [Some(self.at + LEASE), self.repeated_at, delivery.finished_at];
        let end = ends.into_iter().flatten().min().unwrap_or(self.at);
        kills.iter().any(|kill| (self.at - SEND_TOLERANCE..=end).contains(kill))
    }

    /// Returns whether the database has the result of this call.
    fn is_recorded(&self, delivery: &Delivery) -> bool {
        delivery.status == "done" && self.repeated_at.is_none()
    }

    /// Returns whether an interrupted call ended as the registration requires.
    fn ended_as_registered(&self, delivery: &Delivery) -> bool {
        match delivery.status.as_str() {
            // The call was not executed, so a repetition is allowed.
            _ if self.repeated_at.is_some() => self.idempotent || self.sent == SentResponse::Error,
            // Recorded directly before the kill, or just in time.
            "done" => matches!(self.sent, SentResponse::Complete(_)),
            "unknown" => !self.idempotent && delivery.escalated,
            "dead" => delivery.escalated,
            _ => false,
        }
    }
}

/// Compares the agents' request logs with the database.
pub async fn measure(
    database: &PgPool,
    called: &[CalledAgent<'_>],
    kills: &[SystemTime],
    lost_results: usize,
) -> Result<Vec<Measurement>> {
    let deliveries = deliveries(database).await?;
    let calls: Vec<Call> = called.iter().flat_map(calls).collect();
    let of = |call: &Call| deliveries.get(&call.key);
    let known: Vec<(&Call, &Delivery)> = calls.iter().filter_map(|call| Some((call, of(call)?))).collect();
    let (killed_dispatchers, not_killed): (Vec<_>, Vec<_>) =
        known.iter().partition(|(call, delivery)| call.was_killed(delivery, kills));
    let (arrived, no_response): (Vec<_>, Vec<_>) =
        not_killed.iter().partition(|(call, _)| call.has_arrived());
    let name = |(call, delivery): &(&Call, &Delivery)| format!("{} ({})", call.key, delivery.status);

    let lost: Vec<String> = arrived.iter().filter(|(call, d)| !call.is_recorded(d)).map(name).collect();
    let unknown: Vec<String> =
        arrived.iter().filter(|(_, delivery)| delivery.status == "unknown").map(name).collect();
    let interrupted: Vec<(&Call, &Delivery)> =
        killed_dispatchers.iter().chain(&no_response).copied().collect();
    let repeated =
        interrupted.iter().filter(|(call, _)| call.idempotent && call.repeated_at.is_some()).count();
    let escalated = interrupted
        .iter()
        .filter(|(call, d)| !call.idempotent && d.status == "unknown" && d.escalated)
        .count();
    let unexpected: Vec<String> =
        interrupted.iter().filter(|(call, d)| !call.ended_as_registered(d)).map(name).collect();

    let killed: HashSet<&str> = killed_dispatchers.iter().map(|(call, _)| call.key.as_str()).collect();
    let repeated_keys = |agent: &Agent| -> Vec<String> {
        let mut actions: HashMap<String, usize> = HashMap::new();
        agent.actions().into_iter().for_each(|action| *actions.entry(action.key).or_default() += 1);
        actions.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect()
    };
    let second: Vec<String> = called.iter().flat_map(|one| repeated_keys(one.agent)).collect();
    let of_living: Vec<String> =
        second.iter().filter(|key| !killed.contains(key.as_str())).cloned().collect();
    let of_unrepeatable: Vec<String> =
        called.iter().filter(|one| !one.idempotent).flat_map(|one| repeated_keys(one.agent)).collect();
    let keys: HashSet<&str> = calls.iter().map(|call| call.key.as_str()).collect();
    let never_called =
        deliveries.iter().filter(|(key, d)| d.status == "unknown" && !keys.contains(key.as_str())).count();
    Ok(vec![
        Measurement::zero("calls without a delivery", calls.len() - known.len()),
        Measurement::non_zero("responses that reached a running dispatcher", arrived.len()),
        Measurement::violations("of these, results lost", &lost),
        Measurement::violations("of these, unknown", &unknown),
        Measurement::violations("second effects of running dispatchers", &of_living),
        Measurement::zero("runs that failed to record a result", lost_results),
        Measurement::non_zero("calls whose dispatcher was killed", killed_dispatchers.len()),
        Measurement::non_zero("calls without a response", no_response.len()),
        Measurement::non_zero("of these two, repeated with the same key", repeated),
        Measurement::non_zero("of these two, unknown and escalated", escalated),
        Measurement::violations("of these two, not as registered", &unexpected),
        Measurement::violations("second effects of tools that are not idempotent", &of_unrepeatable),
        Measurement::info("unknown and escalated, and the agent was never called", never_called),
    ])
}

/// Returns the calls of an agent from its request log.
fn calls(called: &CalledAgent<'_>) -> Vec<Call> {
    let mut next: HashMap<String, SystemTime> = HashMap::new();
    let seen = called.agent.calls().into_iter().rev().map(|call| {
        let key = call.arguments()["idempotencyKey"].as_str().unwrap_or_default().to_owned();
        let repeated_at = next.insert(key.clone(), call.at);
        Call { key, at: call.at, sent: call.sent, repeated_at, idempotent: called.idempotent }
    });
    seen.collect()
}

async fn deliveries(database: &PgPool) -> Result<HashMap<String, Delivery>> {
    let query = "select d.event_id::text, d.status, extract(epoch from d.finished_at)::float8,
                   exists (select from chat_escalations as x where x.delivery_id = d.id)
                 from deliveries as d";
    let rows: Vec<(String, String, Option<f64>, bool)> = sqlx::query_as(query).fetch_all(database).await?;
    let delivery = |(key, status, finished_at, escalated): (_, _, Option<f64>, _)| {
        let finished_at = finished_at.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at));
        (key, Delivery { status, finished_at, escalated })
    };
    Ok(rows.into_iter().map(delivery).collect())
}
