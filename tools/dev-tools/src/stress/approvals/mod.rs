//! The approval rules: random histories run on the database and on a model, and are compared after
//! each step.

mod amount;
mod apply;
mod calls;
mod chat;
mod chat_calls;
mod chat_requests;
mod chat_rules;
mod chat_steps;
mod decide;
mod env;
mod escalations;
mod events;
mod generator;
mod history;
mod messages;
pub mod mutants;
mod operations;
mod outcomes;
mod payloads;
mod policy;
mod rare_cases;
mod registrations;
mod registry;
mod rows;
mod rules;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::measurement::Measurement;
use super::{Report, Size};
use env::HistoryDb;
use history::{History, minimize, run_generated};

const WORKERS: usize = 4;

/// A worker vacuums after this many histories.
const VACUUM_INTERVAL: usize = 250;

/// Maximum number of mismatches that are minimized and reported.
const MAX_REPORTS: usize = 5;

/// Minimum count of each rule and code in a full run.
const MIN_COVERAGE: u64 = 100;

/// The rules and codes that the histories have to cover.
const REQUIRED_COVERAGE: &[&str] = &[
    "started",
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
    "escalated again",
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
    "edit: new escalation",
    "decision repeated",
    "called again under its own key",
    "not routed: agent not permitted",
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
    "ask: after the output of a tool",
    "chat: begun",
    "chat: busy",
    "chat: call repeated",
    "chat: call_under_way",
    "chat: finished by a dispatcher",
    "chat: finished in the turn",
    "chat: handed over by a call",
    "chat: held",
    "chat: interrupted",
    "chat: killed during a call",
    "chat: not offered",
    "chat: note about a call",
    "chat: refused",
    "chat: stopped",
    "chat: taken over, called again",
    "chat: taken over, outcome unknown",
    "client_secret_rejected",
    "thread_not_found",
];

/// Number of rules that the mutants remove.
pub const RULES: usize = rules::COUNT;
pub const FEW_RULES: usize = rules::FEW.len();

/// Returns the seed of a history.
fn seed_of(seed: u64, number: usize) -> u64 {
    seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The totals of several histories.
#[derive(Default)]
struct Totals {
    steps: usize,
    calls: usize,
    forbidden: usize,
    refused: usize,
    coverage: BTreeMap<&'static str, u64>,
    reports: Vec<String>,
}

impl Totals {
    fn add(&mut self, history: &History) {
        self.steps += history.operations.len();
        self.calls += history.calls;
        for (what, count) in &history.coverage {
            *self.coverage.entry(what).or_default() += count;
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
        for (what, count) in other.coverage {
            *self.coverage.entry(what).or_default() += count;
        }
        self.reports.extend(other.reports);
    }
}

pub async fn run(seed: u64, count: usize, size: Size) -> Result<Report> {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..WORKERS).map(|_| tokio::spawn(work(seed, count, Arc::clone(&next)))).collect();
    let mut totals = Totals::default();
    for worker in workers {
        totals.merge(worker.await??);
    }
    let mismatches: Vec<String> =
        totals.reports.iter().map(|report| report.lines().next().unwrap_or_default().to_owned()).collect();
    let mut measurements = vec![
        Measurement::non_zero("steps", totals.steps),
        Measurement::non_zero("calls made", totals.calls),
        Measurement::zero("calls that the model forbids", totals.forbidden),
        Measurement::zero("calls and decisions rejected that the model allows", totals.refused),
        Measurement::violations("histories in which model and database differ", &mismatches),
    ];
    let full = size == Size::Full;
    let minimum = if full { MIN_COVERAGE } else { 0 };
    for what in REQUIRED_COVERAGE {
        let found = totals.coverage.get(what).copied().unwrap_or_default();
        let promised = if full { format!("≥ {minimum}") } else { String::new() };
        measurements.push(Measurement {
            name: what,
            found: found.to_string(),
            expected: promised,
            passed: found >= minimum,
        });
    }
    for (what, count) in totals.coverage.iter().filter(|(what, _)| !REQUIRED_COVERAGE.contains(what)) {
        measurements.push(Measurement::info(what, usize::try_from(*count)?));
    }
    Ok((measurements, totals.reports.join("\n")))
}

/// Runs histories until the count is reached.
async fn work(seed: u64, count: usize, next: Arc<AtomicUsize>) -> Result<Totals> {
    let mut db = HistoryDb::new().await?;
    let mut totals = Totals::default();
    for done in 1.. {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        let history = run_generated(&mut db, seed_of(seed, number), None).await?;
        totals.add(&history);
        if history.mismatch.is_some() {
            let history =
                if totals.reports.len() < MAX_REPORTS { minimize(&mut db, history).await? } else { history };
            totals.reports.push(format!("history {number} of seed {seed}\n{}", history.report()));
        }
        if done % VACUUM_INTERVAL == 0 {
            db.vacuum().await?;
        }
    }
    db.remove().await?;
    Ok(totals)
}
