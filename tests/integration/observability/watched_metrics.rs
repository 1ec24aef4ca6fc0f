//! The metrics that the template's alarms and its dashboard look at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use local_stack::NAMESPACE;
use serde_json::Value;

use crate::support::project_files::Template;

/// A metric that is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// By which alarm, or which picture of the dashboard.
    pub by: String,
    pub namespace: String,
    pub name: String,
    /// With its value, where only one is looked at.
    pub dimensions: BTreeMap<String, Option<String>>,
    pub statistic: String,
    /// What stands beside the numbers in the picture; none in an alarm.
    pub label: Option<String>,
}

impl Watched {
    /// The names of its dimensions.
    pub fn set(&self) -> BTreeSet<String> {
        self.dimensions.keys().cloned().collect()
    }
}

/// The alarms, each with its name.
pub fn alarms(template: &Template) -> Result<Vec<(&str, &Value)>> {
    let resources = template.0["Resources"].as_object().context("no resources")?;
    let alarms = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    Ok(alarms.map(|(name, alarm)| (name.as_str(), &alarm["Properties"])).collect())
}

/// What alarms look at.
pub fn by_alarms(template: &Template) -> Result<Vec<Watched>> {
    let mut all = Vec::new();
    for (alarm, properties) in alarms(template)? {
        if !properties["MetricName"].is_null() {
            let statistic = [&properties["Statistic"], &properties["ExtendedStatistic"]];
            let statistic = statistic.into_iter().find_map(Value::as_str);
            all.push(metric(alarm, properties, statistic).with_context(|| alarm.to_owned())?);
        }
        for query in properties["Metrics"].as_array().into_iter().flatten() {
            let stat = &query["MetricStat"];
            if !stat.is_null() {
                all.push(
                    metric(alarm, &stat["Metric"], stat["Stat"].as_str())
                        .with_context(|| alarm.to_owned())?,
                );
            }
        }
    }
    Ok(all)
}

fn metric(by: &str, said: &Value, statistic: Option<&str>) -> Result<Watched> {
    let text = |value: &Value| value.as_str().map(named).with_context(|| format!("no text: {value}"));
    let dimensions = said["Dimensions"].as_array().into_iter().flatten();
    let dimensions = dimensions.map(|one| Ok((text(&one["Name"])?, Some(text(&one["Value"])?))));
    Ok(Watched {
        by: by.to_owned(),
        namespace: text(&said["Namespace"])?,
        name: text(&said["MetricName"])?,
        dimensions: dimensions.collect::<Result<_>>()?,
        statistic: statistic.context("no statistic")?.to_owned(),
        label: None,
    })
}

/// The dashboard as CloudWatch gets it, for a stack with the local stack's name.
pub fn dashboard(template: &Template) -> Result<Value> {
    let substitution = &template.0["Resources"]["Dashboard"]["Properties"]["DashboardBody"];
    let mut body = substitution[0].as_str().context("no dashboard")?.to_owned();
    for (name, value) in substitution[1].as_object().context("no variables of `Fn::Sub`")? {
        let variable = format!("${{{name}}}");
        ensure!(body.contains(&variable), "the dashboard does not use {variable}");
        body = body.replace(&variable, value.as_str().with_context(|| format!("the value of {variable}"))?);
    }
    serde_json::from_str(&named(&body)).context("the dashboard is not JSON")
}

/// What the dashboard looks at.
pub fn by_dashboard(dashboard: &Value) -> Result<Vec<Watched>> {
    let mut all = Vec::new();
    for widget in dashboard["widgets"].as_array().context("no widgets")? {
        let properties = &widget["properties"];
        let title = properties["title"].as_str().context("a picture without a title")?;
        for row in properties["metrics"].as_array().into_iter().flatten() {
            all.push(pictured(title, row, properties).with_context(|| format!("{row} in {title}"))?);
        }
    }
    Ok(all)
}

/// `[namespace, name, dimension, value, …, {options}]`, or `[{expression}]`.
fn pictured(title: &str, row: &Value, properties: &Value) -> Result<Watched> {
    let row = row.as_array().context("no row")?;
    let label = properties["yAxis"]["left"]["label"].as_str().map(str::to_owned);
    if let Some(expression) = row.first().and_then(|first| first["expression"].as_str()) {
        return Ok(Watched { label, ..search(title, expression).context("no search that is known here")? });
    }
    let texts: Vec<&str> = row.iter().filter_map(Value::as_str).collect();
    let options = row.last().filter(|last| last.is_object());
    let (Some([namespace, name]), dimensions) = (texts.first_chunk(), texts.get(2..).unwrap_or_default())
    else {
        anyhow::bail!("neither namespace nor name")
    };
    ensure!(dimensions.len().is_multiple_of(2), "a dimension without its value");
    let pairs = dimensions.chunks_exact(2).map(|pair| (pair[0].to_owned(), Some(pair[1].to_owned())));
    let statistic = options.and_then(|options| options["stat"].as_str()).or(properties["stat"].as_str());
    Ok(Watched {
        by: title.to_owned(),
        namespace: (*namespace).to_owned(),
        name: (*name).to_owned(),
        dimensions: pairs.collect(),
        statistic: statistic.context("no statistic")?.to_owned(),
        label,
    })
}

/// `SEARCH('{namespace,dimension} … MetricName="name"', 'statistic', period)`
fn search(title: &str, expression: &str) -> Option<Watched> {
    let inner = expression.strip_prefix("SEARCH('{")?.strip_suffix(")")?;
    let (schema, rest) = inner.split_once("} ")?;
    let (term, rest) = rest.split_once("', '")?;
    let (statistic, _period) = rest.split_once("', ")?;
    let mut schema = schema.split(',').map(|part| part.trim_matches('"').to_owned());
    let (_, name) = term.split_once("MetricName=\"")?;
    Some(Watched {
        by: title.to_owned(),
        namespace: schema.next()?,
        name: name.split('"').next()?.to_owned(),
        dimensions: schema.map(|name| (name, None)).collect(),
        statistic: statistic.to_owned(),
        label: None,
    })
}

/// With the local stack's name for the stack.
fn named(text: &str) -> String {
    let stack = NAMESPACE.rsplit('/').next().unwrap_or_default();
    text.replace("${AWS::StackName}", stack)
}
