//! Lines with metrics are in CloudWatch's embedded metric format (EMF) and within its limits.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};
use jsonschema::{Draft, Validator};
use local_stack::NAMESPACE;
use serde_json::{Value, json};

use super::emitted_metrics::MetricLine;
use super::scenario;
use crate::support::project_files;

#[tokio::test]
async fn lines_with_metrics_match_the_emf_schema() -> Result<()> {
    let schema = serde_json::from_str(include_str!("emf.schema.json"))?;
    let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
    let schema = options.build(&schema).map_err(|error| anyhow!("the schema is invalid: {error}"))?;
    check_rejections(&schema)?;
    let lines = scenario::metric_lines().await?;
    ensure!(lines.len() > 20, "expected more than 20 lines with metrics, found {}", lines.len());
    for MetricLine { function, json } in lines {
        check(&schema, json).with_context(|| format!("{function} logged {json}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn lines_have_at_most_200_fields_for_logs_insights() -> Result<()> {
    let call = json!({ "system": "openai", "attempt": 1, "status": 200, "ms": 1.5 });
    for MetricLine { function, json } in scenario::metric_lines().await? {
        // The scenario makes fewer calls than a line lists.
        let mut longest = json.clone();
        longest["upstream"] = vec![call.clone(); MAX_UPSTREAM_CALLS].into();
        let fields = count_fields(&longest);
        ensure!(fields <= MAX_FIELDS, "{function}: at most {MAX_FIELDS} fields, found {fields}: {longest}");
    }
    Ok(())
}

#[tokio::test]
async fn every_function_emits_metrics_in_the_configured_namespace() -> Result<()> {
    let mut emitters = BTreeSet::new();
    for MetricLine { function, json } in scenario::metric_lines().await? {
        for directive in array(&json["_aws"]["CloudWatchMetrics"]) {
            let namespace = &directive["Namespace"];
            ensure!(*namespace == NAMESPACE, "{function}: expected {NAMESPACE}, found {namespace}");
        }
        ensure!(json["function"] == *function, "{function} logs the name {}", json["function"]);
        emitters.insert(function.clone());
    }
    let packages: BTreeSet<String> =
        local_stack::lambda::workspace().await?.functions.iter().cloned().collect();
    project_files::ensure_same(("the lines", &emitters), ("functions/", &packages))
}

/// Each has few values. A dimension with the id of an organisation, a user or a session would be
/// one metric for each of them.
const DIMENSIONS: [&str; 2] = ["function", "code"];

/// Limits of the EMF specification.
const MAX_BYTES: usize = 256 * 1024;
const MAX_VALUES: usize = 100;

/// The fields that Logs Insights discovers. Source:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>
const MAX_FIELDS: usize = 200;

/// The upstream calls that a line lists, from `docs/operations/observability.md`.
const MAX_UPSTREAM_CALLS: usize = 12;

fn check(schema: &Validator, line: &Value) -> Result<()> {
    let errors: Vec<String> =
        schema.iter_errors(line).map(|error| format!("{} {error}", error.instance_path())).collect();
    ensure!(errors.is_empty(), "{}", errors.join("; "));
    let bytes = line.to_string().len();
    ensure!(bytes <= MAX_BYTES, "at most {MAX_BYTES} bytes, found {bytes}");
    let mut emitted = BTreeSet::new();
    for directive in array(&line["_aws"]["CloudWatchMetrics"]) {
        for name in array(&directive["Dimensions"]).flat_map(array) {
            let name = name.as_str().unwrap_or_default();
            ensure!(DIMENSIONS.contains(&name), "{name} is not a permitted dimension");
            let value = line[name].as_str().with_context(|| format!("{name} is not a string"))?;
            ensure!((1..=1024).contains(&value.len()) && value.is_ascii(), "{name} is {value:?}");
        }
        for metric in array(&directive["Metrics"]) {
            let name = metric["Name"].as_str().unwrap_or_default();
            check_numbers(&line[name]).with_context(|| format!("the metric {name}"))?;
            let is_new = emitted.insert((name, directive["Dimensions"].to_string()));
            ensure!(is_new, "{name} is emitted twice with the same dimensions");
        }
    }
    Ok(())
}

/// A metric is a number or several. AWS's own emitters (`metrique-writer-format-emf`, the
/// CloudWatch agent) also write distinct values with their counts, which the specification does not
/// mention.
fn check_numbers(value: &Value) -> Result<()> {
    let are_finite = |values: &[Value]| values.iter().all(|value| value.as_f64().is_some_and(f64::is_finite));
    let is_valid = match value {
        Value::Number(_) => true,
        Value::Array(values) => (1..=MAX_VALUES).contains(&values.len()) && are_finite(values),
        Value::Object(distribution) => {
            let member = |name| distribution.get(name).and_then(Value::as_array);
            let (values, counts) =
                member("Values").zip(member("Counts")).context("an object without values and counts")?;
            let are_counts = counts.iter().all(|count| count.as_u64().is_some_and(|count| count > 0));
            (1..=MAX_VALUES).contains(&values.len())
                && values.len() == counts.len()
                && are_finite(values)
                && are_counts
        }
        _ => false,
    };
    ensure!(is_valid, "expected numbers, found {value}");
    Ok(())
}

/// The check itself rejects lines that break the format.
fn check_rejections(schema: &Validator) -> Result<()> {
    let line = |metric: &str, unit: &str, dimension: &str, value: Value| {
        json!({
            "_aws": { "Timestamp": 1_795_300_000_000_u64, "CloudWatchMetrics": [{
                "Namespace": "N", "Dimensions": [[], [dimension]],
                "Metrics": [{ "Name": metric, "Unit": unit }] }] },
            "function": "f", "org_id": "o", "Latency": value,
        })
    };
    check(schema, &line("Latency", "Milliseconds", "function", 1.5.into())).context("a valid line")?;
    let too_many: Value = (0..=MAX_VALUES).collect::<Vec<_>>().into();
    let invalid = [
        line("Latency", "milliseconds", "function", 1.5.into()),
        line("Latency", "Milliseconds", "org_id", 1.5.into()),
        line("Latency", "Milliseconds", "code", 1.5.into()),
        line("Requests", "Count", "function", 1.5.into()),
        line("Latency", "Milliseconds", "function", "1.5".into()),
        line("Latency", "Milliseconds", "function", too_many),
    ];
    for line in invalid {
        ensure!(check(schema, &line).is_err(), "the check accepted an invalid line: {line}");
    }
    Ok(())
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Every leaf is a field.
fn count_fields(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(count_fields).sum(),
        Value::Object(members) => members.values().map(count_fields).sum(),
        _ => 1,
    }
}
