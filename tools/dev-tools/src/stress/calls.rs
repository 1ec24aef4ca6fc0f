//! Every call of an agent that a trial saw: whether its router lived and its answer arrived, and what the database says of it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use sqlx::PgPool;

use super::measurement::Figure;
use local_stack::agents::{Agent, Sent};

/// How long a router has a call in hand at most: its lease, by the timeout that a stack's agents are registered with.
const LEASE: Duration = Duration::from_secs(25);

/// An answer that comes so late may be too late: the router gives up after five seconds.
const IN_TIME: Duration = Duration::from_millis(4500);

/// How long before it came a call may have been sent.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// An agent, and whether a call of its tool may be repeated.
pub struct Called<'a> {
    pub agent: &'a Agent,
    pub idempotent: bool,
}

/// A delivery as the database has it in the end.
struct Delivery {
    status: String,
    finished_at: Option<SystemTime>,
    asked: bool,
}

/// A call of a tool.
struct Call {
    key: String,
    at: SystemTime,
    sent: Sent,
    /// When the same key was called again.
    repeated_at: Option<SystemTime>,
    idempotent: bool,
}

impl Call {
    /// Whether its whole answer was sent while a router that lives waits for it.
    fn arrived(&self) -> bool {
        matches!(self.sent, Sent::Answer(at) if at.duration_since(self.at).is_ok_and(|took| took < IN_TIME))
    }

    /// Whether its router was killed before the call was over. A kill is one of all routers.
    fn killed(&self, delivery: &Delivery, kills: &[SystemTime]) -> bool {
        let ends = [Some(self.at + LEASE), self.repeated_at, delivery.finished_at];
        let end = ends.into_iter().flatten().min().unwrap_or(self.at);
        kills.iter().any(|kill| (self.at - ON_ITS_WAY..=end).contains(kill))
    }

    /// Whether the database has what came of it, and has it of this very call.
    fn recorded(&self, delivery: &Delivery) -> bool {
        delivery.status == "done" && self.repeated_at.is_none()
    }

    /// Whether a call whose router was killed, or whose answer did not arrive, ended as the registry says.
    fn ended_as_registered(&self, delivery: &Delivery) -> bool {
        match delivery.status.as_str() {
            // It was not done, so nobody minds.
            _ if self.repeated_at.is_some() => self.idempotent || self.sent == Sent::Refusal,
            // Recorded just before the kill, or just in time.
            "done" => matches!(self.sent, Sent::Answer(_)),
            "unknown" => !self.idempotent && delivery.asked,
            "dead" => delivery.asked,
            _ => false,
        }
    }
}

/// Compares the agents' ledgers with the database.
pub async fn figures(
    database: &PgPool,
    called: &[Called<'_>],
    kills: &[SystemTime],
    gave_up: usize,
) -> Result<Vec<Figure>> {
    let deliveries = deliveries(database).await?;
    let calls: Vec<Call> = called.iter().flat_map(calls).collect();
    let of = |call: &Call| deliveries.get(&call.key);
    let known: Vec<(&Call, &Delivery)> = calls.iter().filter_map(|call| Some((call, of(call)?))).collect();
    let (lost_routers, lived): (Vec<_>, Vec<_>) =
        known.iter().partition(|(call, delivery)| call.killed(delivery, kills));
    let (arrived, dropped): (Vec<_>, Vec<_>) = lived.iter().partition(|(call, _)| call.arrived());
    let name = |(call, delivery): &(&Call, &Delivery)| format!("{} ({})", call.key, delivery.status);

    let lost: Vec<String> = arrived.iter().filter(|(call, d)| !call.recorded(d)).map(name).collect();
    let unknown: Vec<String> =
        arrived.iter().filter(|(_, delivery)| delivery.status == "unknown").map(name).collect();
    let unlucky: Vec<(&Call, &Delivery)> = lost_routers.iter().chain(&dropped).copied().collect();
    let repeated = unlucky.iter().filter(|(call, _)| call.idempotent && call.repeated_at.is_some()).count();
    let asked =
        unlucky.iter().filter(|(call, d)| !call.idempotent && d.status == "unknown" && d.asked).count();
    let strange: Vec<String> =
        unlucky.iter().filter(|(call, d)| !call.ended_as_registered(d)).map(name).collect();

    let killed: HashSet<&str> = lost_routers.iter().map(|(call, _)| call.key.as_str()).collect();
    let twice = |agent: &Agent| -> Vec<String> {
        let mut deeds: HashMap<String, usize> = HashMap::new();
        agent.deeds().into_iter().for_each(|deed| *deeds.entry(deed.key).or_default() += 1);
        deeds.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect()
    };
    let second: Vec<String> = called.iter().flat_map(|one| twice(one.agent)).collect();
    let of_living: Vec<String> =
        second.iter().filter(|key| !killed.contains(key.as_str())).cloned().collect();
    let of_unrepeatable: Vec<String> =
        called.iter().filter(|one| !one.idempotent).flat_map(|one| twice(one.agent)).collect();
    let keys: HashSet<&str> = calls.iter().map(|call| call.key.as_str()).collect();
    let uncalled =
        deliveries.iter().filter(|(key, d)| d.status == "unknown" && !keys.contains(key.as_str())).count();
    Ok(vec![
        Figure::none("calls of which the database knows nothing", calls.len() - known.len()),
        Figure::some("answers that arrived at a router that lived", arrived.len()),
        Figure::violations("of these, results lost", &lost),
        Figure::violations("of these, unknown", &unknown),
        Figure::violations("second effects of routers that lived", &of_living),
        Figure::none("runs that gave up recording a result", gave_up),
        Figure::some("calls whose router was killed", lost_routers.len()),
        Figure::some("calls whose answer was dropped", dropped.len()),
        Figure::some("of these two, repeated under their key", repeated),
        Figure::some("of these two, unknown and a person asked", asked),
        Figure::violations("of these two, anything that is not as registered", &strange),
        Figure::violations("second effects of tools that must not be repeated", &of_unrepeatable),
        Figure::told("unknown, a person asked, and the agent was never called", uncalled),
    ])
}

/// The calls of an agent, by what it saw itself.
fn calls(called: &Called<'_>) -> Vec<Call> {
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
    let delivery = |(key, status, finished_at, asked): (_, _, Option<f64>, _)| {
        let finished_at = finished_at.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at));
        (key, Delivery { status, finished_at, asked })
    };
    Ok(rows.into_iter().map(delivery).collect())
}
