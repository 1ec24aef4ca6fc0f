//! Every line with metrics is one that CloudWatch can read them out of, and costs what it should.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};
use jsonschema::{Draft, Validator};
use local_stack::NAMESPACE;
use serde_json::Value;

use super::emitted_metrics::Line;
use super::scenario;
use crate::support::project_files;

/// The only dimensions: each has a handful of values. An organisation, a user or a session has as many as there are, and each would
/// be a metric of its own.
const DIMENSIONS: [&str; 2] = ["function", "code"];

/// Source: the specification.
const MOST_BYTES: usize = 256 * 1024;
const MOST_VALUES: usize = 100;

// NAME: seen: every line with metrics is in the embedded metric format
#[tokio::test]
async fn format() -> Result<()> {
    let schema = serde_json::from_str(include_str!("emf.schema.json"))?;
    let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
    let schema = options.build(&schema).map_err(|error| anyhow!("the schema is none: {error}"))?;
    refuses(&schema)?;
    let lines = scenario::lines().await?;
    ensure!(lines.len() > 20, "{} lines have metrics", lines.len());
    for Line { function, json } in lines {
        check(&schema, json).with_context(|| format!("{function} wrote {json}"))?;
    }
    Ok(())
}

/// Checks a line.
fn check(schema: &Validator, line: &Value) -> Result<()> {
    let mistakes: Vec<String> =
        schema.iter_errors(line).map(|error| format!("{} {error}", error.instance_path())).collect();
    ensure!(mistakes.is_empty(), "{}", mistakes.join("; "));
    ensure!(line.to_string().len() <= MOST_BYTES, "it is too long");
    let mut times = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        for name in
            directive["Dimensions"].as_array().into_iter().flatten().flat_map(|set| set.as_array()).flatten()
        {
            let name = name.as_str().unwrap_or_default();
            ensure!(DIMENSIONS.contains(&name), "{name} is a dimension");
            let value = line[name].as_str().with_context(|| format!("{name} is no text in the line"))?;
            ensure!((1..=1024).contains(&value.len()) && value.is_ascii(), "{name} is {value:?}");
        }
        for metric in directive["Metrics"].as_array().into_iter().flatten() {
            let name = metric["Name"].as_str().unwrap_or_default();
            numbers(&line[name]).with_context(|| format!("the metric {name}"))?;
            let once = times.insert((name, directive["Dimensions"].to_string()));
            ensure!(once, "{name} would be counted twice");
        }
    }
    Ok(())
}

/// How many fields of a line can be asked for by name, in the order in which they stand.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>
const MOST_FIELDS: usize = 200;

// NAME: seen: no line has more fields than Logs Insights finds
#[tokio::test]
async fn found() -> Result<()> {
    let call = serde_json::json!({ "system": "openai", "attempt": 1, "status": 200, "ms": 1.5 });
    for Line { function, json } in scenario::lines().await? {
        // As if it had as many calls as a line lists, though the scene is short.
        let mut full = json.clone();
        full["upstream"] = vec![call.clone(); MOST_LISTED].into();
        let fields = fields(&full);
        ensure!(fields <= MOST_FIELDS, "{function}: a line may have {fields} fields, such as {full}");
    }
    Ok(())
}

/// The calls that a line lists, as docs/operations/observability.md says.
const MOST_LISTED: usize = 14;

fn fields(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(fields).sum(),
        Value::Object(members) => members.values().map(fields).sum(),
        _ => 1,
    }
}

/// Whether a metric is a number or some of them. Repeated ones may be written once, with how often: the specification does not say
/// so, but what AWS itself writes is such (`metrique-writer-format-emf`, the CloudWatch agent).
fn numbers(value: &Value) -> Result<()> {
    let finite = |values: &[Value]| values.iter().all(|value| value.as_f64().is_some_and(f64::is_finite));
    let well = match value {
        Value::Number(_) => true,
        Value::Array(values) => (1..=MOST_VALUES).contains(&values.len()) && finite(values),
        Value::Object(distribution) => {
            let part = |name| distribution.get(name).and_then(Value::as_array);
            let (values, counts) = part("Values").zip(part("Counts")).context("neither number nor values")?;
            let whole = counts.iter().all(|count| count.as_u64().is_some_and(|count| count > 0));
            (1..=MOST_VALUES).contains(&values.len())
                && values.len() == counts.len()
                && finite(values)
                && whole
        }
        _ => false,
    };
    ensure!(well, "it is {value}");
    Ok(())
}

/// What is not in the format is seen as such.
fn refuses(schema: &Validator) -> Result<()> {
    let line = |metric: &str, unit: &str, dimension: &str, value: Value| {
        serde_json::json!({
            "_aws": { "Timestamp": 1_795_300_000_000_u64, "CloudWatchMetrics": [
                { "Namespace": "N", "Dimensions": [[], [dimension]], "Metrics": [{ "Name": metric, "Unit": unit }] } ] },
            "function": "f", "org_id": "o", "Latency": value,
        })
    };
    check(schema, &line("Latency", "Milliseconds", "function", 1.5.into())).context("a good line")?;
    let many: Value = (0..=MOST_VALUES).collect::<Vec<_>>().into();
    let bad = [
        line("Latency", "milliseconds", "function", 1.5.into()),
        line("Latency", "Milliseconds", "org_id", 1.5.into()),
        line("Latency", "Milliseconds", "code", 1.5.into()),
        line("Requests", "Count", "function", 1.5.into()),
        line("Latency", "Milliseconds", "function", "1.5".into()),
        line("Latency", "Milliseconds", "function", many),
    ];
    for line in bad {
        ensure!(check(schema, &line).is_err(), "this went through: {line}");
    }
    Ok(())
}

// NAME: seen: every function writes lines with metrics, all of them in the namespace it is told
#[tokio::test]
async fn namespace() -> Result<()> {
    let mut wrote = BTreeSet::new();
    for Line { function, json } in scenario::lines().await? {
        for directive in json["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            ensure!(directive["Namespace"] == NAMESPACE, "{function} writes to {}", directive["Namespace"]);
        }
        ensure!(json["function"] == *function, "{function} calls itself {}", json["function"]);
        wrote.insert(function.clone());
    }
    let packages: BTreeSet<String> =
        local_stack::lambda::workspace().await?.functions.iter().cloned().collect();
    project_files::same(("the lines", &wrote), ("functions/", &packages))
}
