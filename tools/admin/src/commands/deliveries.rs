//! `cargo admin deliveries`.

use std::collections::BTreeSet;

use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};
use shared::{
    clients::supabase::{self, ServiceClient},
    domain::administration::{self, DeadDelivery},
};
use uuid::Uuid;

use crate::{
    arguments::{Organisation, parse_id},
    confirmation::Confirmation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::Output,
};

/// Number of deliveries in a page of the database, its maximum.
const PAGE: u32 = 1000;

#[derive(Subcommand)]
pub enum Command {
    /// List dead letters and deliveries of unknown outcome, the newest first
    List {
        #[command(flatten)]
        organisation: Organisation,
        /// List only those of this agent
        #[arg(long)]
        agent: Option<String>,
        /// The number of deliveries to list
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Queue deliveries again, with the same idempotency keys
    ///
    /// The policy of the tool is checked again before each call.
    #[command(group = ArgGroup::new("which").required(true).args(["delivery_ids", "all"]))]
    Replay {
        /// The deliveries, as `deliveries list` shows them
        #[arg(value_name = "DELIVERY", value_parser = parse_id)]
        delivery_ids: Vec<Uuid>,
        /// Replay all dead letters of active sessions, but no delivery of unknown outcome
        #[arg(long)]
        all: bool,
        /// With --all: only those of this agent
        #[arg(long, requires = "all")]
        agent: Option<String>,
        #[command(flatten)]
        organisation: Organisation,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let client = deployment.service_client()?;
        match self {
            Self::List { organisation, agent, limit } => {
                let found = list(&client, organisation.id, agent.as_deref(), limit).await?;
                Ok(Output::new(json!({ "deliveries": found }), text(&found, limit)))
            }
            Self::Replay { delivery_ids, all, agent, organisation, confirmation } => {
                let listed = list(&client, organisation.id, agent.as_deref(), usize::MAX).await?;
                let chosen = choose(&listed, delivery_ids, all);
                if let Some(consequence) = consequence(&listed, &chosen, all) {
                    confirmation.ask(&consequence)?;
                }
                replay(&client, organisation.id, &chosen, all).await
            }
        }
    }
}

/// Lists the deliveries of an organisation, or of one of its agents.
async fn list(
    client: &ServiceClient,
    org_id: Uuid,
    agent: Option<&str>,
    limit: usize,
) -> Result<Vec<DeadDelivery>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = administration::list_dead_deliveries(client, org_id, PAGE, after, call_deadline()).await?;
        found.extend(page.deliveries.into_iter().filter(|one| agent.is_none_or(|id| one.agent_id == id)));
        after = page.next;
        if after.is_none() || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// The deliveries to replay, the oldest first, so that those of a session keep their order.
fn choose(listed: &[DeadDelivery], delivery_ids: Vec<Uuid>, all: bool) -> Vec<Uuid> {
    let dead = listed.iter().filter(|one| all && one.status == "dead").map(|one| one.id);
    let chosen: BTreeSet<Uuid> = delivery_ids.into_iter().chain(dead).collect();
    chosen.into_iter().collect()
}

/// The consequence that the operator confirms: many calls, or calls that may already have been
/// executed.
fn consequence(listed: &[DeadDelivery], chosen: &[Uuid], all: bool) -> Option<String> {
    let unknown = listed.iter().filter(|one| one.status == "unknown" && chosen.contains(&one.id)).count();
    if unknown > 0 {
        return Some(format!(
            "The outcome of {unknown} of these deliveries is unknown: the agent may have executed the call. \
             Replay such a delivery only if the agent's operator has confirmed that it did not."
        ));
    }
    (all && !chosen.is_empty()).then(|| format!("This calls agents again for {} dead letters.", chosen.len()))
}

/// Replays deliveries one after the other. A refused one does not stop the others.
async fn replay(client: &ServiceClient, org_id: Uuid, chosen: &[Uuid], all: bool) -> Result<Output, Failure> {
    let (mut replayed, mut queued, mut ended, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, id) in chosen.iter().enumerate() {
        if chosen.len() > 1 {
            eprintln!("{}/{}  {id}", number + 1, chosen.len());
        }
        match administration::replay_delivery(client, org_id, *id, call_deadline()).await {
            Ok(true) => replayed.push(*id),
            Ok(false) => queued.push(*id),
            Err(error) if all && error.has_code("session_ended") => ended.push(*id),
            Err(error @ supabase::Error::Rpc { .. }) => refused.push((*id, Failure::from(error))),
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = format!("Replayed: {}.", replayed.len());
    if !queued.is_empty() {
        text.push_str(&format!(" Already queued: {}.", queued.len()));
    }
    if !ended.is_empty() {
        text.push_str(&format!(" Not replayed, because their sessions have ended: {}.", ended.len()));
    }
    text.extend(refused.iter().map(|(id, failure)| format!("\n{id}: {failure}")));
    let failed: Vec<Value> =
        refused.iter().map(|(id, failure)| json!({ "id": id, "error": failure.to_string() })).collect();
    let json = json!({ "replayed": replayed, "queued": queued, "ended": ended, "refused": failed });
    Ok(if refused.is_empty() { Output::new(json, text) } else { Output::incomplete(json, text) })
}

fn text(found: &[DeadDelivery], limit: usize) -> String {
    if found.is_empty() {
        return "There are no dead letters and no deliveries of unknown outcome.".to_owned();
    }
    let entry = |one: &DeadDelivery| {
        let error = one.error.as_deref().unwrap_or("-");
        format!(
            "{}  {:<7}  {:<20}  {}/{}  attempts {}  {}\n    session {}  key {}\n",
            one.id,
            one.status,
            error,
            one.agent_id,
            one.tool,
            one.attempts,
            one.created_at,
            one.session_id,
            one.event_id
        )
    };
    let more =
        if found.len() == limit { "Raise --limit to list older ones, if there are any.\n" } else { "" };
    found.iter().map(entry).chain([more.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: u128, status: &str) -> DeadDelivery {
        let ids = json!("019aaa00-0000-7000-8000-000000000001");
        let mut row = json!({
            "id": Uuid::from_u128(id), "org_id": ids, "user_id": ids, "session_id": ids, "event_id": ids,
            "agent_id": "a", "tool": "t", "error": null, "attempts": 1, "depth": 0,
            "created_at": "2026-11-22T10:00:00.123456Z", "finished_at": null,
        });
        row["status"] = status.into();
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn all_replays_dead_letters_only_and_the_oldest_first() {
        let listed = [delivery(3, "dead"), delivery(2, "unknown"), delivery(1, "dead")];
        let chosen = choose(&listed, Vec::new(), true);
        assert_eq!(chosen, [1, 3].map(Uuid::from_u128));
        assert!(consequence(&listed, &chosen, true).is_some_and(|text| text.contains("2 dead letters")));
    }

    #[test]
    fn delivery_of_unknown_outcome_must_be_confirmed() {
        let listed = [delivery(2, "unknown"), delivery(1, "dead")];
        let dead = choose(&listed, vec![Uuid::from_u128(1)], false);
        assert_eq!(consequence(&listed, &dead, false), None);
        let unknown = choose(&listed, vec![Uuid::from_u128(2)], false);
        assert!(consequence(&listed, &unknown, false).is_some_and(|text| text.contains("unknown")));
    }
}
