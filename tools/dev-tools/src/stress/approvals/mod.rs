//! The rules of approval: random histories on the database, compared step by step with a model that is written from the contract.

mod amount;
mod apply;
mod calls;
mod decide;
mod env;
mod events;
mod generator;
mod history;
mod messages;
pub mod mutants;
mod operations;
mod outcomes;
mod payloads;
mod questions;
mod rare_cases;
mod registrations;
mod registry;
mod rows;
mod rules;
mod state;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::measurement::Figure;
use super::{Size, Told};
use env::Arena;
use history::{History, generated, shortened};

/// Databases that are worked on at once.
const WORKERS: usize = 4;

/// After so many histories a worker removes what the earlier ones left behind.
const BETWEEN_VACUUMS: usize = 250;

/// Mismatches that are shortened and told; more say nothing new.
const MOST_TOLD: usize = 5;

/// How often each verdict and code is reached at full size.
const LEAST: u64 = 100;

/// The verdicts and codes that have to be reached.
const REACHED: &[&str] = &[
    "begun",
    "never: not listed",
    "never: by policy",
    "never: above refuse_above",
    "unreadable",
    "ask: by policy",
    "ask: not comparable",
    "ask: above ask_above",
    "ask: above ask_above_total",
    "ask: by an earlier decision",
    "confirm",
    "auto",
    "asked again",
    "requester_gone",
    "agent_forbidden",
    "tool_unavailable",
    "policy_never",
    "attempts_used_up",
    "lease_over",
    "outcome_unknown",
    "hitl_expired",
    "edit: lowered, released at once",
    "edit: resumed without a release",
    "edit: a new question",
    "decision repeated",
    "called again under its own key",
    "not routed: agent not open",
    "follow-up refused: session_ended",
    "follow-up refused: unknown_agent",
    "follow-up refused: agent_forbidden",
    "follow-up refused: too_deep",
    "not_a_member",
    "escalation_not_found",
    "own_request",
    "author_may_not_decide",
    "requester_must_confirm",
    "subject_changed",
    "escalation_resolved",
    "escalation_closed",
    "decision_not_offered",
    "answer_required",
    "invalid_answer",
    "answer_not_checked",
    "policy_forbids",
    "too_many_edits",
    "no_other_approver",
    "too_many_escalations",
    "session_not_found",
    "session_ended",
    "agent_changed",
    "agent_unavailable",
    "event_type_reserved",
    "invalid_agent_server",
    "delivery_not_found",
    "delivery_not_dead",
];

/// How many rules can be taken out.
pub const RULES: usize = rules::RULES.len();
pub const FEW_RULES: usize = rules::FEW.len();

/// The seed of a history of a run.
fn seed_of(seed: u64, number: usize) -> u64 {
    seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What came of many histories.
#[derive(Default)]
struct Sum {
    steps: usize,
    calls: usize,
    forbidden: usize,
    refused: usize,
    reached: BTreeMap<&'static str, u64>,
    told: Vec<String>,
}

impl Sum {
    fn add(&mut self, history: &History) {
        self.steps += history.operations.len();
        self.calls += history.calls;
        for (what, count) in &history.reached {
            *self.reached.entry(what).or_default() += count;
        }
        if let Some(mismatch) = &history.mismatch {
            self.forbidden += mismatch.forbidden;
            self.refused += mismatch.refused;
        }
    }

    fn merge(&mut self, other: Self) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.forbidden += other.forbidden;
        self.refused += other.refused;
        for (what, count) in other.reached {
            *self.reached.entry(what).or_default() += count;
        }
        self.told.extend(other.told);
    }
}

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Told> {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..WORKERS).map(|_| tokio::spawn(work(seed, count, Arc::clone(&next)))).collect();
    let mut sum = Sum::default();
    for worker in workers {
        sum.merge(worker.await??);
    }
    let mismatches: Vec<String> =
        sum.told.iter().map(|told| told.lines().next().unwrap_or_default().to_owned()).collect();
    let mut figures = vec![
        Figure::some("steps", sum.steps),
        Figure::some("calls that went out", sum.calls),
        Figure::none("calls that the model forbids", sum.forbidden),
        Figure::none("calls and decisions refused that the model allows", sum.refused),
        Figure::violations("histories in which model and database differ", &mismatches),
    ];
    let full = size == Size::Full;
    let least = if full { LEAST } else { 0 };
    for what in REACHED {
        let found = sum.reached.get(what).copied().unwrap_or_default();
        let promised = if full { format!("≥ {least}") } else { String::new() };
        figures.push(Figure { what, found: found.to_string(), promised, holds: found >= least });
    }
    for (what, count) in sum.reached.iter().filter(|(what, _)| !REACHED.contains(what)) {
        figures.push(Figure::told(what, usize::try_from(*count)?));
    }
    Ok((figures, sum.told.join("\n")))
}

/// Runs histories until all are run.
async fn work(seed: u64, count: usize, next: Arc<AtomicUsize>) -> Result<Sum> {
    let mut arena = Arena::new().await?;
    let mut sum = Sum::default();
    for done in 1.. {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        let history = generated(&mut arena, seed_of(seed, number), None).await?;
        sum.add(&history);
        if history.mismatch.is_some() {
            let history =
                if sum.told.len() < MOST_TOLD { shortened(&mut arena, history).await? } else { history };
            sum.told.push(format!("history {number} of seed {seed}\n{}", history.told()));
        }
        if done % BETWEEN_VACUUMS == 0 {
            arena.vacuum().await?;
        }
    }
    arena.remove().await?;
    Ok(sum)
}
