//! Reads metrics from log lines as CloudWatch does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::Value;

/// A metric of one line, with one of its dimension sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EmittedMetric {
    pub function: String,
    pub namespace: String,
    pub name: String,
    pub unit: String,
    /// Names and values.
    pub dimensions: BTreeMap<String, String>,
}

impl EmittedMetric {
    pub fn dimension_names(&self) -> BTreeSet<String> {
        self.dimensions.keys().cloned().collect()
    }
}

/// A line with metrics, and the function that logged it.
#[derive(Clone)]
pub struct MetricLine {
    pub function: String,
    pub json: Value,
}

/// Ends the functions of a stack and returns their lines with metrics.
pub async fn metric_lines(stack: &LocalStack) -> Vec<MetricLine> {
    stack.lambda().stop().await;
    let lines = stack.lambda().logs().lines().into_iter();
    let lines = lines.filter_map(|line| {
        let json: Value = serde_json::from_str(&line.text).ok()?;
        json.get("_aws")?;
        Some(MetricLine { function: line.function, json })
    });
    lines.collect()
}

pub fn parse_metrics(lines: &[MetricLine]) -> Result<BTreeSet<EmittedMetric>> {
    let mut metrics = BTreeSet::new();
    for line in lines {
        parse_line(line, &mut metrics).with_context(|| format!("in the line {}", line.json))?;
    }
    Ok(metrics)
}

fn parse_line(line: &MetricLine, metrics: &mut BTreeSet<EmittedMetric>) -> Result<()> {
    let MetricLine { function, json } = line;
    for directive in array(&json["_aws"]["CloudWatchMetrics"])? {
        for dimension_set in array(&directive["Dimensions"])? {
            let dimensions = array(dimension_set)?.iter().map(|name| {
                let name = string(name)?;
                let value = string(&json[&name]).with_context(|| format!("the dimension {name}"))?;
                Ok((name, value))
            });
            let dimensions = dimensions.collect::<Result<BTreeMap<_, _>>>()?;
            for metric in array(&directive["Metrics"])? {
                metrics.insert(EmittedMetric {
                    function: function.clone(),
                    namespace: string(&directive["Namespace"])?,
                    name: string(&metric["Name"])?,
                    // The default of CloudWatch.
                    unit: metric["Unit"].as_str().unwrap_or("None").to_owned(),
                    dimensions: dimensions.clone(),
                });
            }
        }
    }
    Ok(())
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("expected an array, found {value}"))
}

fn string(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("expected a string, found {value}"))
}
