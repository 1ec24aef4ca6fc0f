//! The alarms and the dashboard of the template watch metrics that the functions emit, with the
//! same name, unit and dimensions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use local_stack::NAMESPACE;
use serde_json::{Value, json};
use shared::clients::upstream_errors_table;

use super::emitted_metrics::{EmittedMetric, parse_metrics};
use super::scenario;
use super::watched_metrics::{self, WatchedMetric, alarms};
use crate::support::project_files::{Template, ensure_same};

#[tokio::test]
async fn watched_metrics_are_emitted() -> Result<()> {
    let emitted = parse_metrics(scenario::metric_lines().await?)?;
    let mut missing = Vec::new();
    for watched in all_watched()? {
        let WatchedMetric { watcher, namespace, name, dimensions, .. } = &watched;
        if namespace == NAMESPACE {
            let matching: Vec<&EmittedMetric> =
                emitted.iter().filter(|metric| is_watched(metric, &watched)).collect();
            if matching.is_empty() {
                missing.push(format!("{watcher} watches {name} by {dimensions:?}"));
            }
            for metric in matching {
                check_unit(&watched, &metric.unit)?;
            }
        } else {
            let dimensions: Vec<String> = watched.dimension_names().into_iter().collect();
            let exists = AWS_METRICS.iter().any(|(aws_namespace, aws_name, dimension)| {
                aws_namespace == namespace && aws_name == name && dimensions == [*dimension]
            });
            ensure!(exists, "{watcher} watches a metric that AWS does not have: {watched:?}");
        }
    }
    ensure!(missing.is_empty(), "the functions do not emit: {}", missing.join("; "));
    Ok(())
}

/// The sum or average of a gauge over several runs is wrong.
#[tokio::test]
async fn watched_gauges_use_maximum() -> Result<()> {
    for WatchedMetric { watcher, name, statistic, .. } in all_watched()? {
        let is_gauge = GAUGES.contains(&name.as_str());
        ensure!(!is_gauge || statistic == "Maximum", "{watcher} watches the {statistic} of the gauge {name}");
    }
    Ok(())
}

#[tokio::test]
async fn alarms_notify_topic_and_treat_missing_data() -> Result<()> {
    let template = Template::read()?;
    let mut breaching = BTreeSet::new();
    for (alarm, properties) in alarms(&template)? {
        let topic = json!(["HasAlarmsTopic", ["AlarmsTopicArn"], "AWS::NoValue"]);
        for action in ["AlarmActions", "OKActions"] {
            let actual = &properties[action];
            ensure!(*actual == topic, "{alarm}: expected {topic} in {action}, found {actual}");
        }
        // SAM does not report that they are missing, and not all of them are shared properties.
        for required in ["ComparisonOperator", "EvaluationPeriods", "Threshold"] {
            ensure!(!properties[required].is_null(), "{alarm} has no {required}");
        }
        ensure!(properties["AlarmName"].is_null(), "{alarm} has a name, so an account can have only one");
        let has_period = |stat: &Value| stat["Period"] == 300;
        let metrics = properties["Metrics"].as_array();
        let stats: Vec<&Value> =
            metrics.into_iter().flatten().map(|one| &one["MetricStat"]).filter(|s| !s.is_null()).collect();
        let all_have_period = metrics.map_or(has_period(properties), |_| stats.iter().all(|s| has_period(s)));
        ensure!(all_have_period, "{alarm}: expected a period of 300 seconds");
        ensure!(stats.len() <= MAX_METRICS, "{alarm}: at most {MAX_METRICS} metrics, found {}", stats.len());
        let returned = metrics.into_iter().flatten().filter(|one| one["ReturnData"] != false).count();
        ensure!(metrics.is_none() || returned == 1, "{alarm}: expected 1 returned metric, found {returned}");
        match properties["TreatMissingData"].as_str() {
            Some("notBreaching") => {}
            Some("breaching") => drop(breaching.insert(alarm.to_owned())),
            other => bail!("{alarm}: TreatMissingData is {other:?}"),
        }
    }
    let expected = ["ExpiryNotRunningAlarm", "RouterNotRunningAlarm"].map(str::to_owned).into();
    ensure_same(("the alarms for missing data", &breaching), ("the expected ones", &expected))
}

#[tokio::test]
async fn dashboard_shows_every_alarm_without_overlaps() -> Result<()> {
    let template = Template::read()?;
    let all: BTreeSet<String> =
        alarms(&template)?.into_iter().map(|(name, _)| format!("${{{name}.Arn}}")).collect();
    let dashboard = watched_metrics::dashboard(&template)?;
    let widgets = dashboard["widgets"].as_array().context("the dashboard has no widgets")?;
    let alarm_widgets = widgets.iter().filter(|widget| widget["type"] == "alarm");
    let shown = alarm_widgets.flat_map(|widget| widget["properties"]["alarms"].as_array()).flatten();
    let shown = shown.filter_map(Value::as_str).map(str::to_owned).collect();
    ensure_same(("the dashboard", &shown), ("the alarms", &all))?;
    let mut taken = BTreeMap::new();
    for widget in widgets {
        let title = &widget["properties"]["title"];
        let number = |name: &str| widget[name].as_u64().with_context(|| format!("{name} of {widget}"));
        let (x, y, width, height) = (number("x")?, number("y")?, number("width")?, number("height")?);
        ensure!(x + width <= COLUMNS, "{title} does not fit into {COLUMNS} columns: {widget}");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            let other = taken.insert(cell, title);
            ensure!(other.is_none(), "{title} overlaps with {other:?}");
        }
    }
    Ok(())
}

/// Metrics are part of lines with the level `INFO`, so a higher level would discard them.
#[tokio::test]
async fn every_log_level_of_the_template_keeps_metrics() -> Result<()> {
    let template = Template::read()?;
    let parameter = &template.0["Parameters"]["LogLevel"];
    ensure!(parameter["AllowedValues"] == json!(["DEBUG", "INFO"]), "other levels: {parameter}");
    ensure!(parameter["Default"] == "INFO", "another default: {parameter}");
    for line in scenario::metric_lines().await? {
        let level = line.json["level"].as_str();
        ensure!(matches!(level, Some("INFO" | "ERROR")), "Lambda can discard this line: {}", line.json);
    }
    Ok(())
}

/// Lambda's own counts. An alarm cannot use a search expression, so it has to name every function.
/// A burst of webhooks is throttled in normal operation.
#[tokio::test]
async fn alarms_watch_errors_and_throttles_of_every_http_function() -> Result<()> {
    let template = Template::read()?;
    let routed: BTreeSet<String> = template.routes()?.into_iter().map(|(_, _, package)| package).collect();
    let functions = template.functions()?;
    let with_routes = functions.iter().filter(|function| routed.contains(function.package));
    let with_routes: BTreeSet<String> = with_routes.map(|function| function.id.to_owned()).collect();
    let watched = watched_metrics::watched_by_alarms(&template)?;
    let with_webhook = with_routes.iter().cloned().chain(["ReceiveWebhook".to_owned()]).collect();
    for (metric, expected) in [("Errors", &with_webhook), ("Throttles", &with_routes)] {
        let of_lambda = watched.iter().filter(|one| one.namespace == "AWS/Lambda" && one.name == metric);
        let functions = of_lambda.filter_map(|one| one.dimensions.get("FunctionName").cloned().flatten());
        ensure_same(("the alarms", &functions.collect()), ("the functions with a public URL", expected))
            .context(metric)?;
    }
    Ok(())
}

/// An upstream error that an operator has to resolve rings an alarm. The alarm sums all its codes.
#[tokio::test]
async fn alarms_watch_every_upstream_error_that_an_operator_resolves() -> Result<()> {
    let mut codes = BTreeSet::new();
    for table in [upstream_errors_table::supabase(), upstream_errors_table::openai()] {
        let (header, rows) = table.split_first().context("an empty table")?;
        let resolver = header.iter().position(|title| title == "action by").context("no such column")?;
        for row in rows.iter().filter(|row| row[resolver] == "operator") {
            let response = row.last().context("an empty row")?;
            let code = response.split('`').nth(1).with_context(|| format!("no code in {response}"))?;
            codes.insert(code.to_owned());
        }
    }
    for without_alarm in CODES_WITHOUT_ALARM {
        ensure!(codes.remove(without_alarm), "{without_alarm} is not a code that an operator resolves");
    }
    // AWS's responses have no table: all of them have this code.
    codes.insert("route_events_not_started".to_owned());
    let watched = watched_metrics::watched_by_alarms(&Template::read()?)?;
    let by_code = watched.iter().filter(|one| one.namespace == NAMESPACE && one.name == "Errors");
    let by_code = by_code.filter_map(|one| one.dimensions.get("code").cloned().flatten());
    ensure_same(("the alarms", &by_code.collect()), ("codes for operators", &codes))?;
    // Scheduled runs continue without OpenAI, so their responses have no code.
    let counts_requests = watched.iter().any(|one| one.name == "OpenAiUnauthorized");
    ensure!(counts_requests, "no alarm watches OpenAiUnauthorized");
    Ok(())
}

#[tokio::test]
async fn alarms_watch_every_dead_letter_queue() -> Result<()> {
    let template = Template::read()?;
    let resources = template.0["Resources"].as_object().context("no resources")?;
    let queues = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::SQS::Queue");
    let queues: BTreeSet<String> = queues.map(|(id, _)| format!("{id}.QueueName")).collect();
    ensure!(!queues.is_empty(), "the template has no queue");
    let watched = watched_metrics::watched_by_alarms(&template)?;
    let watched = watched.iter().filter_map(|one| one.dimensions.get("QueueName").cloned().flatten());
    ensure_same(("the alarms", &watched.collect()), ("the queues", &queues))
}

/// The expression of an alarm names each of its metrics, or is the sum of all.
#[tokio::test]
async fn expressions_of_alarms_use_all_their_metrics() -> Result<()> {
    let template = Template::read()?;
    let mut alarms_with_expression = 0;
    for (alarm, properties) in alarms(&template)? {
        let Some(metrics) = properties["Metrics"].as_array() else { continue };
        let (expressions, stats): (Vec<&Value>, Vec<&Value>) =
            metrics.iter().partition(|one| !one["Expression"].is_null());
        let [expression] = expressions.as_slice() else { bail!("{alarm}: expected 1 expression") };
        let text = expression["Expression"].as_str().context("the expression is not a string")?;
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let words: BTreeSet<&str> = text.split(|character| !is_word(character)).collect();
        for stat in &stats {
            let id = stat["Id"].as_str().with_context(|| format!("{alarm}: a metric has no id"))?;
            let is_used = text == "SUM(METRICS())" || words.contains(id);
            ensure!(is_used, "{alarm}: {text} does not use {id}");
        }
        ensure!(stats.len() > 1, "{alarm}: an expression of {} metrics", stats.len());
        alarms_with_expression += 1;
    }
    ensure!(alarms_with_expression > 5, "found {alarms_with_expression} alarms with an expression");
    Ok(())
}

/// Codes that operators resolve and that have no alarm of their own. They return 5xx, so the alarm
/// of server errors counts them. Each has a cause in one agent's registration, in one query or in a
/// defect.
const CODES_WITHOUT_ALARM: [&str; 4] =
    ["supabase_timeout", "supabase_bad_answer", "chatkit_agent_refused", "chatkit_bad_answer"];

/// The watched metrics of AWS, each with its dimension.
const AWS_METRICS: [(&str, &str, &str); 4] = [
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
    ("AWS/Lambda", "ConcurrentExecutions", "FunctionName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
];

const GAUGES: [&str; 4] =
    ["OpenEscalations", "DeadDeliveries", "OldestUndeliveredSeconds", "ApproximateNumberOfMessagesVisible"];

/// The limit for an alarm with metric math.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
const MAX_METRICS: usize = 10;

/// The width of a dashboard.
const COLUMNS: u64 = 24;

fn all_watched() -> Result<Vec<WatchedMetric>> {
    let template = Template::read()?;
    let mut all = watched_metrics::watched_by_alarms(&template)?;
    all.extend(watched_metrics::watched_by_dashboard(&watched_metrics::dashboard(&template)?)?);
    ensure!(all.len() > 50, "expected more than 50 watched metrics, found {}", all.len());
    Ok(all)
}

fn is_watched(emitted: &EmittedMetric, watched: &WatchedMetric) -> bool {
    let matches = |(name, value): (&String, &Option<String>)| {
        value.as_ref().is_none_or(|value| emitted.dimensions.get(name) == Some(value))
    };
    emitted.namespace == watched.namespace
        && emitted.name == watched.name
        && emitted.dimension_names() == watched.dimension_names()
        && watched.dimensions.iter().all(matches)
}

/// The label of the axis is the unit of the metric, and only counts are summed.
fn check_unit(watched: &WatchedMetric, unit: &str) -> Result<()> {
    let WatchedMetric { watcher, name, statistic, label, .. } = watched;
    let expected = match unit {
        "Milliseconds" => Some("ms"),
        "Seconds" => Some("s"),
        "Count" => None,
        _ => bail!("{name} has the unit {unit}"),
    };
    let is_alarm = watcher.ends_with("Alarm");
    let is_labelled = is_alarm || label.as_deref() == expected;
    ensure!(is_labelled, "{watcher}: expected the label {expected:?} for {unit}, found {label:?}");
    ensure!(statistic != "Sum" || unit == "Count", "{watcher} sums {name}, which is in {unit}");
    Ok(())
}
