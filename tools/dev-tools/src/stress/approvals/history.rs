//! Runs one history on the model and on the database, and compares them after each step.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use fastrand::Rng;

use super::apply::LineCache;
use super::env::HistoryDb;
use super::generator::{Theme, operation, setup};
use super::operations::{ChatOperation, Operation, Setup};
use super::rows::canonical;
use super::state::State;

pub struct History {
    pub setup: Setup,
    pub operations: Vec<Operation>,
    pub coverage: BTreeMap<&'static str, u64>,
    pub calls: usize,
    pub mismatch: Option<Mismatch>,
}

/// The difference after the last step.
pub struct Mismatch {
    /// Calls that the model forbids.
    pub forbidden: usize,
    /// Calls or decisions that are rejected although the model allows them.
    pub refused: usize,
    pub differences: Vec<String>,
}

trait StepSource {
    fn next(&mut self, state: &State) -> Option<Operation>;
}

struct GeneratedSteps {
    rng: Rng,
    theme: Theme,
    left: usize,
}

impl StepSource for GeneratedSteps {
    fn next(&mut self, state: &State) -> Option<Operation> {
        self.left = self.left.checked_sub(1)?;
        Some(operation(&mut self.rng, self.theme, state))
    }
}

/// Recorded steps. Steps that refer to missing rows are skipped.
struct RecordedSteps<'a>(std::slice::Iter<'a, Operation>);

impl StepSource for RecordedSteps<'_> {
    fn next(&mut self, state: &State) -> Option<Operation> {
        self.0.find(|operation| refers_to_existing_rows(state, operation)).cloned()
    }
}

fn refers_to_existing_rows(state: &State, operation: &Operation) -> bool {
    match operation {
        Operation::Record { events, .. } => events.iter().all(|input| match input {
            super::operations::EventInput::Resolve { escalation, .. } => {
                *escalation < state.escalations.len()
            }
            _ => true,
        }),
        Operation::Finish { delivery, .. } | Operation::Replay { delivery, .. } => {
            *delivery < state.deliveries.len()
        }
        Operation::Decide { escalation, .. } => *escalation < state.escalations.len(),
        Operation::Chat(operation) => match operation {
            ChatOperation::BeginRun { thread, .. } => thread.is_none_or(|of| of < state.threads.len()),
            ChatOperation::BeginCall { run, .. }
            | ChatOperation::EndRun { run }
            | ChatOperation::Kill { run } => *run < state.runs.len(),
            ChatOperation::SettleRuns => true,
        },
        _ => true,
    }
}

/// Runs the history of a seed, with a random theme or the input one.
pub async fn run_generated(db: &mut HistoryDb, seed: u64, theme: Option<Theme>) -> Result<History> {
    let mut rng = Rng::with_seed(seed);
    let any = Theme::any(&mut rng);
    let theme = theme.unwrap_or(any);
    let setup = setup(&mut rng, theme);
    let left = theme.steps(&mut rng);
    run(db, setup, &mut GeneratedSteps { rng, theme, left })
        .await
        .with_context(|| format!("the history of seed {seed}"))
}

async fn run(db: &mut HistoryDb, setup: Setup, source: &mut (impl StepSource + Send)) -> Result<History> {
    let ids = db.begin(&setup).await?;
    let mut state = State::new(&setup);
    let mut rows = db.rows(&ids).await?;
    let mut cache = LineCache::default();
    let mut history =
        History { setup, operations: Vec::new(), coverage: BTreeMap::new(), calls: 0, mismatch: None };
    while let Some(operation) = source.next(&state) {
        let before = state.clone();
        let expected = state.apply(&operation);
        history.operations.push(operation.clone());
        let done = match db.execute(&ids, &before, &mut rows, &operation).await {
            Ok(done) => done,
            Err(error) => {
                let differences = vec![format!("the database failed: {error:#}")];
                history.mismatch = Some(Mismatch { forbidden: 0, refused: 0, differences });
                break;
            }
        };
        if !before.is_repeated_call(&operation) {
            history.calls += done.sent.len();
        }
        let lines = state.lines(&mut cache);
        history.mismatch = compare(&lines, &expected, &done, rows.lines());
        if history.mismatch.is_some() {
            break;
        }
    }
    history.coverage = state.coverage;
    db.end(&ids).await?;
    Ok(history)
}

fn compare(
    lines: &[String],
    expected: &super::apply::StepResult,
    found: &super::apply::StepResult,
    rows: &[String],
) -> Option<Mismatch> {
    let calls = |done: &super::apply::StepResult| -> Vec<String> {
        let call = |sent: &super::calls::OutgoingCall| {
            let document = canonical(&sent.document);
            format!(
                "call: {} with key {} state {}: {document}",
                sent.delivery, sent.idempotency_key, sent.resumes_state
            )
        };
        let mut calls: Vec<String> = done.sent.iter().map(call).collect();
        calls.sort();
        calls
    };
    let (allowed, made) = (calls(expected), calls(found));
    let mut mismatch = Mismatch {
        forbidden: made.iter().filter(|call| !allowed.contains(call)).count(),
        refused: allowed.iter().filter(|call| !made.contains(call)).count(),
        differences: Vec::new(),
    };
    differ(&mut mismatch.differences, &allowed, &made);
    if (&expected.rejection, expected.flag, &expected.outcome)
        != (&found.rejection, found.flag, &found.outcome)
    {
        mismatch.refused += usize::from(expected.rejection.is_none() && found.rejection.is_some());
        let result_text = |done: &super::apply::StepResult| {
            format!("{:?} {:?} {:?}", done.rejection, done.flag, done.outcome)
        };
        mismatch.differences.push(format!(
            "expected the response {1}, found {0}",
            result_text(found),
            result_text(expected)
        ));
    }
    differ(&mut mismatch.differences, lines, rows);
    (!mismatch.differences.is_empty()).then_some(mismatch)
}

fn differ(differences: &mut Vec<String>, expected: &[String], found: &[String]) {
    for line in expected.iter().filter(|line| !found.contains(line)) {
        differences.push(format!("model:    {line}"));
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        differences.push(format!("database: {line}"));
    }
}

/// Removes steps from a failing history as long as it still fails.
pub async fn minimize(db: &mut HistoryDb, history: History) -> Result<History> {
    let mut smallest = history;
    let mut index = smallest.operations.len();
    while index > 0 {
        index -= 1;
        let mut operations = smallest.operations.clone();
        operations.remove(index.min(operations.len().saturating_sub(1)));
        let shorter = run(db, smallest.setup.clone(), &mut RecordedSteps(operations.iter())).await?;
        if shorter.mismatch.is_some() {
            index = index.min(shorter.operations.len());
            smallest = shorter;
        }
    }
    Ok(smallest)
}

impl History {
    pub fn report(&self) -> String {
        let mut text = format!("{:#?}\n", self.setup);
        for (index, operation) in self.operations.iter().enumerate() {
            let _ = writeln!(text, "step {}: {operation:?}", index + 1);
        }
        for difference in self.mismatch.iter().flat_map(|mismatch| &mismatch.differences) {
            let _ = writeln!(text, "{difference}");
        }
        text
    }
}
