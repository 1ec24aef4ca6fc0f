//! Generates steps of the self-hosted chat.

use fastrand::Rng;
use serde_json::{Value, json};

use super::chat::{Run, RunStatus};
use super::generator::{Theme, advance, chance, choose};
use super::operations::{ChatOperation, Operation, Outcome};
use super::payloads::payload;
use super::state::{Delivery, DeliveryStatus, State};

/// Maximum number of answers in a history, each of them in a new thread or not.
const MAX_ANSWERS: usize = 30;

/// Maximum number of answers at once: fewer than a user may have.
const MAX_ACTIVE: usize = 8;

/// Returns a step of the chat, more often in a history about it.
pub fn chat_step(rng: &mut Rng, theme: Theme, state: &State) -> Option<Operation> {
    let percent = match theme {
        Theme::Chats => 60,
        Theme::Pages | Theme::FollowUps => 0,
        _ => 5,
    };
    if !chance(rng, percent) {
        return None;
    }
    let in_turn: Vec<usize> = (0..state.deliveries.len()).filter(|of| state.is_in_turn(*of)).collect();
    if let Some(delivery) = in_turn.last().copied().filter(|_| chance(rng, 80)) {
        return Some(during_call(rng, theme, state, delivery));
    }
    if let Some(step) = during_taken_over_call(rng, state).filter(|_| chance(rng, 40)) {
        return Some(step);
    }
    let runs = |condition: &dyn Fn(&Run) -> bool| -> Vec<usize> {
        (0..state.runs.len()).filter(|run| condition(&state.runs[*run])).collect()
    };
    let is_writing = |run: &Run| run.status == RunStatus::Running && !run.killed;
    let live = runs(&|run| is_writing(run) && !run.stop_requested);
    let any = runs(&|_| true);
    let may_begin = any.len() < MAX_ANSWERS && runs(&is_writing).len() < MAX_ACTIVE;
    let step = match rng.u32(..100) {
        // Also the last call of an answer that has to stop, or of a process that was thought dead.
        0..5 if !any.is_empty() => begin_call(rng, theme, state, &any),
        5..12 if !any.is_empty() => ChatOperation::EndRun { run: choose(rng, &any) },
        12..17 if !live.is_empty() => ChatOperation::Kill { run: choose(rng, &live) },
        17..21 if !any.is_empty() => ChatOperation::SettleRuns,
        21..82 if !live.is_empty() => begin_call(rng, theme, state, &live),
        _ if may_begin => begin_run(rng, state),
        _ => return None,
    };
    Some(Operation::Chat(step))
}

/// A step while a turn waits for its call.
fn during_call(rng: &mut Rng, theme: Theme, state: &State, delivery: usize) -> Operation {
    let row = &state.deliveries[delivery];
    let (run, call) = (row.run().unwrap_or_default(), row.call().unwrap_or_default());
    if state.runs[run].killed && chance(rng, 85) {
        return Operation::Claim;
    }
    let inputs = || row.inputs.clone().unwrap_or_default();
    match rng.u32(..100) {
        0..18 => Operation::Chat(ChatOperation::Kill { run }),
        // The response was lost.
        18..22 => Operation::Chat(ChatOperation::BeginCall { run, call, tool: row.tool, inputs: inputs() }),
        22..28 => Operation::Chat(begin_call(rng, theme, state, &[run])),
        28..34 => Operation::Claim,
        34..60 => finish(delivery, Outcome::Completed { follow_ups: Vec::new(), handover: None }),
        60..68 => {
            let handover = Some(choose(rng, &["alpha", "beta", "beta"]));
            finish(delivery, Outcome::Completed { follow_ups: vec![("beta", None)], handover })
        }
        68..78 => finish(delivery, Outcome::Unknown),
        78..86 => finish(delivery, Outcome::Failed),
        // Any outcome, also a question of the agent.
        _ => super::generator::finish(rng, theme, state),
    }
}

/// The dispatcher that took over a call of a turn stops too.
fn during_taken_over_call(rng: &mut Rng, state: &State) -> Option<Operation> {
    let is_running = |row: &&Delivery| row.status == DeliveryStatus::Running && row.chat.is_some();
    let call = state.deliveries.iter().filter(is_running).find(|row| row.is_claimed)?;
    let is_over = call.lease_until.is_some_and(|end| end <= state.now);
    Some(if is_over { Operation::Claim } else { advance(rng, state) })
}

fn finish(delivery: usize, outcome: Outcome) -> Operation {
    Operation::Finish { delivery, outcome, stale: false }
}

fn begin_run(rng: &mut Rng, state: &State) -> ChatOperation {
    let session = rng.usize(..state.sessions.len());
    let used = &state.sessions[session].threads;
    let is_free = |thread: &usize| {
        let writes = |run: &Run| run.thread == *thread && run.status == RunStatus::Running;
        !state.runs.iter().any(|run| writes(run) && !run.killed)
    };
    let free: Vec<usize> = used.iter().copied().filter(is_free).collect();
    // Threads that went to another agent, or stayed with the former one.
    let is_of_other = |thread: &usize| state.threads[*thread].agent != state.sessions[session].agent;
    let other: Vec<usize> = (0..state.threads.len()).filter(is_of_other).collect();
    let thread = match rng.u32(..100) {
        0..57 if !free.is_empty() => Some(choose(rng, &free)),
        57..63 if !used.is_empty() => Some(choose(rng, used)),
        // Another session may have begun it.
        63..74 if !other.is_empty() => Some(choose(rng, &other)),
        74..86 if !state.threads.is_empty() => Some(rng.usize(..state.threads.len())),
        _ => None,
    };
    ChatOperation::BeginRun { session, thread }
}

/// The next call of one of these answers.
fn begin_call(rng: &mut Rng, theme: Theme, state: &State, runs: &[usize]) -> ChatOperation {
    let run = choose(rng, runs);
    let row = &state.runs[run];
    let calls = |of: &usize| state.deliveries[*of].run() == Some(run);
    let of_run: Vec<usize> = (0..state.deliveries.len()).filter(calls).collect();
    let numbers = of_run.iter().filter_map(|of| state.deliveries[*of].call());
    let next = numbers.max().map_or(0, |last| last + 1);
    // The response to an earlier request was lost.
    let call = if next > 0 && chance(rng, 10) { rng.usize(..next) } else { next };
    let own = state.agent(row.agent).and_then(|agent| agent.server.tools.first());
    let tool = if chance(rng, 3) { "unknown" } else { own.map_or("pay", |tool| tool.name) };
    ChatOperation::BeginCall { run, call, tool, inputs: inputs(rng, theme, state, row.thread) }
}

/// New inputs, or those of an earlier call of the thread.
fn inputs(rng: &mut Rng, theme: Theme, state: &State, thread: usize) -> Value {
    if chance(rng, 1) {
        return json!(["not an object"]);
    }
    let is_of_thread = |of: &usize| {
        let run = state.deliveries[*of].run();
        run.is_some_and(|run| state.runs[run].thread == thread)
    };
    let earlier: Vec<usize> = (0..state.deliveries.len()).filter(is_of_thread).collect();
    // Mostly a call that is not finished: it must not be made a second time.
    let is_open = |of: &&usize| {
        let status = state.deliveries[**of].status;
        !matches!(status, DeliveryStatus::Done | DeliveryStatus::Withdrawn)
    };
    let open: Vec<usize> = earlier.iter().filter(is_open).copied().collect();
    let repeated = match rng.u32(..100) {
        0..22 if !open.is_empty() => Some(choose(rng, &open)),
        22..26 if !earlier.is_empty() => Some(choose(rng, &earlier)),
        _ => None,
    };
    let repeated = repeated.and_then(|of| state.deliveries[of].inputs.clone());
    repeated.unwrap_or_else(|| payload(rng, theme, state))
}
