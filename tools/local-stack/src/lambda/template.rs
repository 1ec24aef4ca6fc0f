//! Reads variables, timeout and routes of each function from `template.yaml`. The local functions
//! receive the same variables, so that a variable that the template lacks is missing locally too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::routes::Route;
use crate::{project, yaml};

/// The deployed functions by package.
#[derive(Clone, Debug, Default)]
pub struct Template(BTreeMap<String, DeployedFunction>);

/// The deployment of one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeployedFunction {
    /// The names of its environment variables.
    pub variables: BTreeSet<String>,
    /// Lambda's time limit for one event.
    pub timeout: Duration,
    /// Its routes of the HTTP API.
    pub routes: Vec<Route>,
}

impl Template {
    /// Reads `template.yaml` in the root of the project.
    pub fn read() -> Result<Self> {
        let path = project::root().join("template.yaml");
        Self::from_value(&yaml::read(&path)?).with_context(|| format!("in {}", path.display()))
    }

    /// Returns the deployment of a function.
    pub fn function(&self, package: &str) -> Result<&DeployedFunction> {
        let found = self.0.get(package);
        found.with_context(|| format!("template.yaml has no function with `Binary: {package}`"))
    }

    /// Every route of the HTTP API.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.values().flat_map(|function| &function.routes)
    }

    fn from_value(template: &Value) -> Result<Self> {
        let globals = &template["Globals"]["Function"];
        let mut functions = BTreeMap::new();
        for (name, resource) in template["Resources"].as_object().context("no Resources")? {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let package = resource.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            let package = package.with_context(|| format!("{name} names no Binary"))?;
            let function = deployed(package, globals, &resource["Properties"]);
            functions.insert(package.to_owned(), function.with_context(|| name.clone())?);
        }
        Ok(Self(functions))
    }
}

fn deployed(package: &str, globals: &Value, own: &Value) -> Result<DeployedFunction> {
    let mut variables = BTreeSet::new();
    for level in [globals, own] {
        for (name, value) in
            level.pointer("/Environment/Variables").and_then(Value::as_object).into_iter().flatten()
        {
            // A function can remove a global variable.
            if value == "AWS::NoValue" {
                variables.remove(name)
            } else {
                variables.insert(name.clone())
            };
        }
    }
    let timeout = own["Timeout"].as_u64().or(globals["Timeout"].as_u64()).context("no Timeout")?;
    let mut routes = Vec::new();
    for event in own["Events"].as_object().into_iter().flatten().map(|(_, event)| event) {
        if event["Type"] == "HttpApi" {
            routes.push(route(package, &event["Properties"])?);
        }
    }
    Ok(DeployedFunction { variables, timeout: Duration::from_secs(timeout), routes })
}

fn route(package: &str, properties: &Value) -> Result<Route> {
    let (Some(method), Some(path)) = (properties["Method"].as_str(), properties["Path"].as_str()) else {
        bail!("the route has no method or no path: {properties}")
    };
    let method = if method == "ANY" {
        None
    } else {
        Some(method.to_uppercase().parse().context("parsing the method of a route")?)
    };
    Ok(Route { function: package.to_owned(), method, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn function_has_own_and_global_variables() {
        let template = json!({
            "Globals": { "Function": { "Timeout": 15, "Environment": { "Variables": { "URL": "x" } } } },
            "Resources": {
                "Api": { "Type": "AWS::Serverless::HttpApi" },
                "Reads": {
                    "Type": "AWS::Serverless::Function",
                    "Metadata": { "BuildProperties": { "Binary": "reads" } },
                    "Properties": {
                        "Environment": { "Variables": { "KEY": { "Ref": "Key" } } },
                        "Events": { "Route": { "Type": "HttpApi", "Properties": { "Method": "get", "Path": "/a" } } }
                    }
                }
            }
        });
        let template = Template::from_value(&template).unwrap();
        let reads = template.function("reads").unwrap();
        assert_eq!(reads.variables, ["KEY", "URL"].map(str::to_owned).into());
        assert_eq!(reads.timeout, Duration::from_secs(15));
        let method = Some(axum::http::Method::GET);
        assert_eq!(reads.routes, [Route { function: "reads".to_owned(), method, path: "/a".to_owned() }]);
        assert!(template.function("writes").unwrap_err().to_string().contains("Binary: writes"));
    }
}
