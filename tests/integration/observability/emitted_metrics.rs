//! The metrics that functions emit: read out of their lines, as CloudWatch does it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::Value;

/// A metric, as one line has it in one of its sets of dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Emitted {
    pub function: String,
    pub namespace: String,
    pub name: String,
    pub unit: String,
    /// Each with its value.
    pub dimensions: BTreeMap<String, String>,
}

impl Emitted {
    /// The names of its dimensions.
    pub fn set(&self) -> BTreeSet<String> {
        self.dimensions.keys().cloned().collect()
    }
}

/// A line with metrics in it, and the function that wrote it.
#[derive(Clone)]
pub struct Line {
    pub function: String,
    pub json: Value,
}

/// Every line of a stack that has metrics in it, once its functions have been ended.
pub async fn lines(stack: &LocalStack) -> Vec<Line> {
    stack.lambda().end().await;
    let lines = stack.lambda().logs().lines().into_iter();
    let json = lines.filter_map(|line| {
        let json: Value = serde_json::from_str(&line.text).ok()?;
        json.get("_aws")?;
        Some(Line { function: line.function, json })
    });
    json.collect()
}

/// What these lines emit.
pub fn emitted(lines: &[Line]) -> Result<BTreeSet<Emitted>> {
    let mut all = BTreeSet::new();
    for line in lines {
        read(line, &mut all).with_context(|| format!("in the line {}", line.json))?;
    }
    Ok(all)
}

fn read(Line { function, json }: &Line, all: &mut BTreeSet<Emitted>) -> Result<()> {
    for directive in array(&json["_aws"]["CloudWatchMetrics"])? {
        for set in array(&directive["Dimensions"])? {
            let dimensions = array(set)?.iter().map(|name| {
                let name = text(name)?;
                Ok((name.clone(), text(&json[&name]).with_context(|| format!("the dimension {name}"))?))
            });
            let dimensions = dimensions.collect::<Result<BTreeMap<_, _>>>()?;
            for metric in array(&directive["Metrics"])? {
                all.insert(Emitted {
                    function: function.clone(),
                    namespace: text(&directive["Namespace"])?,
                    name: text(&metric["Name"])?,
                    // What it is by default.
                    unit: metric["Unit"].as_str().unwrap_or("None").to_owned(),
                    dimensions: dimensions.clone(),
                });
            }
        }
    }
    Ok(())
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("no array: {value}"))
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"))
}
