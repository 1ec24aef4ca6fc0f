//! One history, on the model and on the database, compared after every step.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use fastrand::Rng;

use super::apply::Written;
use super::env::Arena;
use super::generator::{Theme, operation, setup};
use super::operations::{Operation, Setup};
use super::rows::canonical;
use super::state::State;

/// A history that was run.
pub struct History {
    pub setup: Setup,
    pub operations: Vec<Operation>,
    pub reached: BTreeMap<&'static str, u64>,
    pub calls: usize,
    pub mismatch: Option<Mismatch>,
}

/// Where model and database differ, after the last step of a history.
pub struct Mismatch {
    /// Calls that go out and that the model forbids.
    pub forbidden: usize,
    /// Calls or decisions that the model allows and that are refused.
    pub refused: usize,
    pub differences: Vec<String>,
}

/// The next step of a history.
trait Source {
    fn next(&mut self, state: &State) -> Option<Operation>;
}

struct Generated {
    rng: Rng,
    theme: Theme,
    left: usize,
}

impl Source for Generated {
    fn next(&mut self, state: &State) -> Option<Operation> {
        self.left = self.left.checked_sub(1)?;
        Some(operation(&mut self.rng, self.theme, state))
    }
}

/// Steps that were made before. What one of them names may not be there, where others were left out.
struct Repeated<'a>(std::slice::Iter<'a, Operation>);

impl Source for Repeated<'_> {
    fn next(&mut self, state: &State) -> Option<Operation> {
        self.0.find(|operation| is_there(state, operation)).cloned()
    }
}

fn is_there(state: &State, operation: &Operation) -> bool {
    match operation {
        Operation::Record { events, .. } => events.iter().all(|given| match given {
            super::operations::Given::Resolve { escalation, .. } => *escalation < state.escalations.len(),
            _ => true,
        }),
        Operation::Finish { delivery, .. } | Operation::Replay { delivery, .. } => {
            *delivery < state.deliveries.len()
        }
        Operation::Decide { escalation, .. } => *escalation < state.escalations.len(),
        _ => true,
    }
}

/// Runs the history of a seed: of any theme, or of this one.
pub async fn generated(arena: &mut Arena, seed: u64, theme: Option<Theme>) -> Result<History> {
    let mut rng = Rng::with_seed(seed);
    let any = Theme::any(&mut rng);
    let theme = theme.unwrap_or(any);
    let setup = setup(&mut rng, theme);
    let left = theme.steps(&mut rng);
    run(arena, setup, &mut Generated { rng, theme, left })
        .await
        .with_context(|| format!("the history of seed {seed}"))
}

async fn run(arena: &mut Arena, setup: Setup, source: &mut (impl Source + Send)) -> Result<History> {
    let cast = arena.begin(&setup).await?;
    let mut state = State::new(&setup);
    let mut rows = arena.rows(&cast).await?;
    let mut written = Written::default();
    let mut history =
        History { setup, operations: Vec::new(), reached: BTreeMap::new(), calls: 0, mismatch: None };
    while let Some(operation) = source.next(&state) {
        let before = state.clone();
        let expected = state.apply(&operation);
        history.operations.push(operation.clone());
        let done = match arena.execute(&cast, &before, &mut rows, &operation).await {
            Ok(done) => done,
            Err(error) => {
                let differences = vec![format!("the database failed: {error:#}")];
                history.mismatch = Some(Mismatch { forbidden: 0, refused: 0, differences });
                break;
            }
        };
        history.calls += done.sent.len();
        let lines = state.lines(&mut written);
        history.mismatch = compare(&lines, &expected, &done, rows.lines());
        if history.mismatch.is_some() {
            break;
        }
    }
    history.reached = state.reached;
    arena.end(&cast).await?;
    Ok(history)
}

fn compare(
    lines: &[String],
    expected: &super::apply::Done,
    found: &super::apply::Done,
    rows: &[String],
) -> Option<Mismatch> {
    let calls = |done: &super::apply::Done| -> Vec<String> {
        let call = |sent: &super::calls::Sent| {
            let document = canonical(&sent.document);
            format!(
                "a call: {} under {} state {}: {document}",
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
    if (&expected.refusal, expected.flag) != (&found.refusal, found.flag) {
        mismatch.refused += usize::from(expected.refusal.is_none() && found.refusal.is_some());
        let said = |done: &super::apply::Done| format!("{:?} {:?}", done.refusal, done.flag);
        mismatch.differences.push(format!("the answer is {} instead of {}", said(found), said(expected)));
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

/// A history that fails, without the steps that it also fails without.
pub async fn shortened(arena: &mut Arena, history: History) -> Result<History> {
    let mut shortest = history;
    let mut place = shortest.operations.len();
    while place > 0 {
        place -= 1;
        let mut operations = shortest.operations.clone();
        operations.remove(place.min(operations.len().saturating_sub(1)));
        let tried = run(arena, shortest.setup.clone(), &mut Repeated(operations.iter())).await?;
        if tried.mismatch.is_some() {
            place = place.min(tried.operations.len());
            shortest = tried;
        }
    }
    Ok(shortest)
}

impl History {
    /// For a person to read.
    pub fn told(&self) -> String {
        let mut text = format!("{:#?}\n", self.setup);
        for (place, operation) in self.operations.iter().enumerate() {
            let _ = writeln!(text, "step {}: {operation:?}", place + 1);
        }
        for difference in self.mismatch.iter().flat_map(|mismatch| &mismatch.differences) {
            let _ = writeln!(text, "{difference}");
        }
        text
    }
}
