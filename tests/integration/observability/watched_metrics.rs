//! Reads the metrics that the alarms and the dashboard of the template watch.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use local_stack::NAMESPACE;
use serde_json::Value;

use crate::support::project_files::Template;

#[derive(Clone, Debug)]
pub struct WatchedMetric {
    /// The name of the alarm, or the title of the widget.
    pub watcher: String,
    pub namespace: String,
    pub name: String,
    /// Names and values. A search expression has no values.
    pub dimensions: BTreeMap<String, Option<String>>,
    pub statistic: String,
    /// The label of the axis. An alarm has none.
    pub label: Option<String>,
}

impl WatchedMetric {
    pub fn dimension_names(&self) -> BTreeSet<String> {
        self.dimensions.keys().cloned().collect()
    }
}

/// The names and properties of the alarms.
pub fn alarms(template: &Template) -> Result<Vec<(&str, &Value)>> {
    let resources = template.0["Resources"].as_object().context("the template has no resources")?;
    let alarms = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    Ok(alarms.map(|(name, alarm)| (name.as_str(), &alarm["Properties"])).collect())
}

pub fn watched_by_alarms(template: &Template) -> Result<Vec<WatchedMetric>> {
    let mut all = Vec::new();
    for (alarm, properties) in alarms(template)? {
        if !properties["MetricName"].is_null() {
            let statistic = [&properties["Statistic"], &properties["ExtendedStatistic"]];
            let statistic = statistic.into_iter().find_map(Value::as_str);
            all.push(alarm_metric(alarm, properties, statistic).with_context(|| alarm.to_owned())?);
        }
        for query in properties["Metrics"].as_array().into_iter().flatten() {
            let stat = &query["MetricStat"];
            if !stat.is_null() {
                let metric = alarm_metric(alarm, &stat["Metric"], stat["Stat"].as_str());
                all.push(metric.with_context(|| alarm.to_owned())?);
            }
        }
    }
    Ok(all)
}

fn alarm_metric(alarm: &str, metric: &Value, statistic: Option<&str>) -> Result<WatchedMetric> {
    let string = |value: &Value| {
        let text = value.as_str().map(with_stack_name);
        text.with_context(|| format!("expected a string, found {value}"))
    };
    let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
    let dimensions = dimensions.map(|one| Ok((string(&one["Name"])?, Some(string(&one["Value"])?))));
    Ok(WatchedMetric {
        watcher: alarm.to_owned(),
        namespace: string(&metric["Namespace"])?,
        name: string(&metric["MetricName"])?,
        dimensions: dimensions.collect::<Result<_>>()?,
        statistic: statistic.context("the metric has no statistic")?.to_owned(),
        label: None,
    })
}

/// The dashboard that CloudFormation creates for a stack with the local stack's name.
pub fn dashboard(template: &Template) -> Result<Value> {
    let substitution = &template.0["Resources"]["Dashboard"]["Properties"]["DashboardBody"];
    let mut body = substitution[0].as_str().context("the template has no dashboard")?.to_owned();
    for (name, value) in substitution[1].as_object().context("`Fn::Sub` has no variables")? {
        let variable = format!("${{{name}}}");
        ensure!(body.contains(&variable), "the dashboard does not use {variable}");
        body = body.replace(&variable, value.as_str().with_context(|| format!("the value of {variable}"))?);
    }
    serde_json::from_str(&with_stack_name(&body)).context("the dashboard is not JSON")
}

pub fn watched_by_dashboard(dashboard: &Value) -> Result<Vec<WatchedMetric>> {
    let mut all = Vec::new();
    for widget in dashboard["widgets"].as_array().context("the dashboard has no widgets")? {
        let properties = &widget["properties"];
        let title = properties["title"].as_str().context("a widget has no title")?;
        for row in properties["metrics"].as_array().into_iter().flatten() {
            all.push(widget_metric(title, row, properties).with_context(|| format!("{row} in {title}"))?);
        }
    }
    Ok(all)
}

/// `[namespace, name, dimension, value, …, {options}]`, or `[{expression}]`.
fn widget_metric(title: &str, row: &Value, properties: &Value) -> Result<WatchedMetric> {
    let row = row.as_array().context("the row is not an array")?;
    let label = properties["yAxis"]["left"]["label"].as_str().map(str::to_owned);
    if let Some(expression) = row.first().and_then(|first| first["expression"].as_str()) {
        let search = parse_search(title, expression).context("the expression is not a known search")?;
        return Ok(WatchedMetric { label, ..search });
    }
    let texts: Vec<&str> = row.iter().filter_map(Value::as_str).collect();
    let options = row.last().filter(|last| last.is_object());
    let (Some([namespace, name]), dimensions) = (texts.first_chunk(), texts.get(2..).unwrap_or_default())
    else {
        bail!("the row lacks namespace or name")
    };
    ensure!(dimensions.len().is_multiple_of(2), "a dimension without a value");
    let pairs = dimensions.chunks_exact(2).map(|pair| (pair[0].to_owned(), Some(pair[1].to_owned())));
    let statistic = options.and_then(|options| options["stat"].as_str()).or(properties["stat"].as_str());
    Ok(WatchedMetric {
        watcher: title.to_owned(),
        namespace: (*namespace).to_owned(),
        name: (*name).to_owned(),
        dimensions: pairs.collect(),
        statistic: statistic.context("the metric has no statistic")?.to_owned(),
        label,
    })
}

/// `SEARCH('{namespace,dimension} … MetricName="name"', 'statistic', period)`
fn parse_search(title: &str, expression: &str) -> Option<WatchedMetric> {
    let inner = expression.strip_prefix("SEARCH('{")?.strip_suffix(")")?;
    let (schema, rest) = inner.split_once("} ")?;
    let (term, rest) = rest.split_once("', '")?;
    let (statistic, _period) = rest.split_once("', ")?;
    let mut schema = schema.split(',').map(|part| part.trim_matches('"').to_owned());
    let (_, name) = term.split_once("MetricName=\"")?;
    Some(WatchedMetric {
        watcher: title.to_owned(),
        namespace: schema.next()?,
        name: name.split('"').next()?.to_owned(),
        dimensions: schema.map(|name| (name, None)).collect(),
        statistic: statistic.to_owned(),
        label: None,
    })
}

/// Replaces the pseudo parameter by the local stack's name.
fn with_stack_name(text: &str) -> String {
    let stack = NAMESPACE.rsplit('/').next().unwrap_or_default();
    text.replace("${AWS::StackName}", stack)
}
