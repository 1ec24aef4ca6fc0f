//! What an operator sees: a line for each unit of work, its metrics, and a trace through all that was asked; and the alarms and
//! pages that rest on them.

mod alarms;
mod documentation;
mod emf;
mod emitted_metrics;
mod log_lines;
mod runbook;
mod scenario;
mod spans;
mod traces;
mod watched_metrics;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

/// Every line that the functions wrote, once all have ended. All of them are JSON.
async fn written(stack: &LocalStack) -> Result<Vec<Value>> {
    let lines = stack.final_logs().await;
    lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The lines of units of work: those with metrics in them.
fn of_work(lines: &[Value], is_so: impl Fn(&Value) -> bool) -> Vec<&Value> {
    lines.iter().filter(|line| line["_aws"].is_object() && is_so(line)).collect()
}

/// The one line of a unit of work for which this holds.
fn line(lines: &[Value], is_so: impl Fn(&Value) -> bool) -> Result<&Value> {
    let found = of_work(lines, is_so);
    ensure!(found.len() == 1, "{} lines of work instead of one: {found:#?} in {lines:#?}", found.len());
    Ok(found[0])
}
