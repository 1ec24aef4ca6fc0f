//! The template's alarms and its dashboard look at metrics that there are: by name, unit and dimensions what the functions emit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use local_stack::NAMESPACE;
use serde_json::{Value, json};

use super::emitted_metrics::{Emitted, emitted};
use super::watched_metrics::{Watched, alarms};
use super::{scenario, watched_metrics};
use crate::support::project_files::{Template, same};

/// The metrics of AWS's own that are looked at, each with its dimension.
const OF_AWS: [(&str, &str, &str); 4] = [
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
    ("AWS/Lambda", "ConcurrentExecutions", "FunctionName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
];

/// The most metrics that an alarm may do sums with.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
const MOST_METRICS: usize = 10;

fn all_watched() -> Result<Vec<Watched>> {
    let template = Template::read()?;
    let mut all = watched_metrics::by_alarms(&template)?;
    all.extend(watched_metrics::by_dashboard(&watched_metrics::dashboard(&template)?)?);
    ensure!(all.len() > 50, "{} metrics are looked at", all.len());
    Ok(all)
}

// NAME: seen: what alarms and the dashboard look at is emitted
#[tokio::test]
async fn watched_is_emitted() -> Result<()> {
    let emitted = emitted(scenario::lines().await?)?;
    let mut missing = Vec::new();
    for watched in all_watched()? {
        if watched.namespace == NAMESPACE {
            let there: Vec<&Emitted> = emitted.iter().filter(|emitted| is(emitted, &watched)).collect();
            if there.is_empty() {
                missing.push(format!("{} looks at {} by {:?}", watched.by, watched.name, watched.dimensions));
            }
            for emitted in there {
                in_its_unit(&watched, &emitted.unit)?;
            }
        } else {
            let dimensions: Vec<String> = watched.set().into_iter().collect();
            let known = OF_AWS.iter().any(|(namespace, name, dimension)| {
                *namespace == watched.namespace && *name == watched.name && dimensions == [*dimension]
            });
            ensure!(known, "{} looks at what AWS does not have: {watched:?}", watched.by);
        }
    }
    ensure!(missing.is_empty(), "nobody emits it: {}", missing.join("; "));
    Ok(())
}

/// Whether the one looks at the other.
fn is(emitted: &Emitted, watched: &Watched) -> bool {
    let fits = |(name, value): (&String, &Option<String>)| {
        value.as_ref().is_none_or(|value| emitted.dimensions.get(name) == Some(value))
    };
    emitted.namespace == watched.namespace
        && emitted.name == watched.name
        && emitted.set() == watched.set()
        && watched.dimensions.iter().all(fits)
}

/// Whether what stands beside the numbers is their unit.
fn in_its_unit(watched: &Watched, unit: &str) -> Result<()> {
    let label = match unit {
        "Milliseconds" => Some("ms"),
        "Seconds" => Some("s"),
        "Count" => None,
        _ => anyhow::bail!("{} is in {unit}", watched.name),
    };
    // A threshold has none, but a comment.
    let is_alarm = watched.by.ends_with("Alarm");
    ensure!(
        is_alarm || watched.label.as_deref() == label,
        "{} shows {unit} as {:?}",
        watched.by,
        watched.label
    );
    let sum = watched.statistic == "Sum";
    ensure!(!sum || unit == "Count", "{} adds up {unit} of {}", watched.by, watched.name);
    Ok(())
}

/// How many there are at a time: two runs have not twice as many.
const GAUGES: [&str; 4] =
    ["OpenEscalations", "DeadDeliveries", "OldestUndeliveredSeconds", "ApproximateNumberOfMessagesVisible"];

// NAME: seen: no alarm and no picture adds up what is no number of something
#[tokio::test]
async fn statistics() -> Result<()> {
    for watched in all_watched()? {
        let gauge = GAUGES.contains(&watched.name.as_str());
        ensure!(
            !gauge || watched.statistic == "Maximum",
            "{}: the {} of {}",
            watched.by,
            watched.statistic,
            watched.name
        );
    }
    Ok(())
}

// NAME: seen: every alarm tells whoever is to be told, and begins with nothing
#[tokio::test]
async fn alike() -> Result<()> {
    let template = Template::read()?;
    let mut silent = BTreeSet::new();
    for (alarm, properties) in alarms(&template)? {
        let told = json!(["HasAlarmsTopic", ["AlarmsTopicArn"], "AWS::NoValue"]);
        for action in ["AlarmActions", "OKActions"] {
            ensure!(properties[action] == told, "{alarm}: {action} {}", properties[action]);
        }
        // SAM does not find them missing, and the shared properties do not hold them all.
        for required in ["ComparisonOperator", "EvaluationPeriods", "Threshold"] {
            ensure!(!properties[required].is_null(), "{alarm} has no {required}");
        }
        ensure!(properties["AlarmName"].is_null(), "{alarm} could be there only once in an account");
        let period = |stat: &Value| stat["Period"] == 300;
        let metrics = properties["Metrics"].as_array();
        let stats: Vec<&Value> =
            metrics.into_iter().flatten().map(|one| &one["MetricStat"]).filter(|s| !s.is_null()).collect();
        ensure!(metrics.map_or(period(properties), |_| stats.iter().all(|stat| period(stat))), "{alarm}");
        ensure!(stats.len() <= MOST_METRICS, "{alarm} has {} metrics", stats.len());
        let answers = metrics.into_iter().flatten().filter(|one| one["ReturnData"] != false);
        ensure!(metrics.is_none() || answers.count() == 1, "{alarm}: what of it is compared?");
        match properties["TreatMissingData"].as_str() {
            Some("notBreaching") => {}
            Some("breaching") => drop(silent.insert(alarm.to_owned())),
            other => anyhow::bail!("{alarm}: {other:?} of missing data"),
        }
    }
    let rings_when_silent = ["ExpiryNotRunningAlarm", "RouterNotRunningAlarm"].map(str::to_owned).into();
    same(("what rings when nothing is heard", &silent), ("what should", &rings_when_silent))
}

// NAME: seen: the dashboard shows every alarm
#[tokio::test]
async fn shown() -> Result<()> {
    let template = Template::read()?;
    let there: BTreeSet<String> =
        alarms(&template)?.into_iter().map(|(name, _)| format!("${{{name}.Arn}}")).collect();
    let dashboard = watched_metrics::dashboard(&template)?;
    let widgets = dashboard["widgets"].as_array().context("no widgets")?;
    let alarms = widgets.iter().filter(|widget| widget["type"] == "alarm");
    let shown = alarms.flat_map(|widget| widget["properties"]["alarms"].as_array()).flatten();
    let shown = shown.filter_map(Value::as_str).map(str::to_owned).collect();
    same(("the dashboard", &shown), ("the alarms", &there))?;
    // Nothing lies over something else, nor outside of its 24 columns.
    let mut taken = BTreeMap::new();
    for widget in widgets {
        let at = |part: &str| widget[part].as_u64().with_context(|| format!("{part} of {widget}"));
        let (x, y, width, height) = (at("x")?, at("y")?, at("width")?, at("height")?);
        ensure!(x + width <= 24, "it is too wide: {widget}");
        for field in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            let other = taken.insert(field, &widget["properties"]["title"]);
            ensure!(other.is_none(), "{} lies over {other:?}", widget["properties"]["title"]);
        }
    }
    Ok(())
}

// NAME: seen: the template offers no log level at which metrics are missing
/// A line that is not written has no metrics in it, and those of what went well are of level `INFO`.
#[tokio::test]
async fn levels() -> Result<()> {
    let template = Template::read()?;
    let level = &template.0["Parameters"]["LogLevel"];
    ensure!(level["AllowedValues"] == json!(["DEBUG", "INFO"]) && level["Default"] == "INFO", "{level}");
    for line in scenario::lines().await? {
        let level = line.json["level"].as_str();
        ensure!(matches!(level, Some("INFO" | "ERROR")), "Lambda drops this line, or may: {}", line.json);
    }
    Ok(())
}

// NAME: seen: faults of every function that is called over HTTP ring an alarm
/// Lambda's own counts, by function. No alarm can search, so here is seen to it that none is forgotten.
#[tokio::test]
async fn faults() -> Result<()> {
    let template = Template::read()?;
    let routed: BTreeSet<String> = template.routes()?.into_iter().map(|(_, _, package)| package).collect();
    let functions = template.functions()?;
    let named = functions.iter().filter(|function| routed.contains(function.package));
    let named: BTreeSet<String> = named.map(|function| function.id.to_owned()).collect();
    let watched = watched_metrics::by_alarms(&template)?;
    for metric in ["Errors", "Throttles"] {
        let of_lambda = watched.iter().filter(|one| one.namespace == "AWS/Lambda" && one.name == metric);
        let functions = of_lambda.filter_map(|one| one.dimensions.get("FunctionName").cloned().flatten());
        same(("the alarms", &functions.collect()), ("functions with routes", &named)).context(metric)?;
    }
    Ok(())
}
