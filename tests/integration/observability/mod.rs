//! Telemetry for operators: one log line for each unit of work with its metrics, traces, and the
//! alarms and pages that depend on them.

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

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

/// Ends the functions and returns every line that they logged.
async fn logged_lines(stack: &LocalStack) -> Result<Vec<Value>> {
    let lines = stack.final_logs().await;
    let parse = |line: &String| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
    lines.iter().map(parse).collect()
}

/// The matching lines among those of units of work, which have metrics.
fn work_lines(lines: &[Value], matches: impl Fn(&Value) -> bool) -> Vec<&Value> {
    lines.iter().filter(|line| line["_aws"].is_object() && matches(line)).collect()
}

/// The only matching line among those of units of work.
fn work_line(lines: &[Value], matches: impl Fn(&Value) -> bool) -> Result<&Value> {
    let found = work_lines(lines, matches);
    ensure!(found.len() == 1, "expected 1 line, found {}: {found:#?} in {lines:#?}", found.len());
    Ok(found[0])
}
