//! What `template.yaml` says of each function: its variables, its timeout and its routes. The functions here are
//! given what they will be given there, so that a variable which the template forgets is missing here too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::routes::Route;
use crate::{project, yaml};

/// The functions by their packages.
#[derive(Clone, Debug, Default)]
pub struct Template(BTreeMap<String, Deployed>);

/// How one function is deployed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed {
    /// The names of its environment variables.
    pub variables: BTreeSet<String>,
    /// How long Lambda gives it for an event.
    pub timeout: Duration,
    /// Its routes of the HTTP API.
    pub routes: Vec<Route>,
}

impl Template {
    /// Reads `template.yaml` in the root of the project.
    pub fn read() -> Result<Self> {
        let path = project::root().join("template.yaml");
        Self::of(&yaml::read(&path)?).with_context(|| format!("in {}", path.display()))
    }

    /// What this function is deployed with.
    pub fn function(&self, package: &str) -> Result<&Deployed> {
        let found = self.0.get(package);
        found.with_context(|| format!("template.yaml has no function with `Binary: {package}`"))
    }

    /// Every route of the HTTP API.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.values().flat_map(|function| &function.routes)
    }

    fn of(template: &Value) -> Result<Self> {
        let everywhere = &template["Globals"]["Function"];
        let mut functions = BTreeMap::new();
        for (name, resource) in template["Resources"].as_object().context("no Resources")? {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let package = resource.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            let package = package.with_context(|| format!("{name} names no Binary"))?;
            let function = deployed(package, everywhere, &resource["Properties"]);
            functions.insert(package.to_owned(), function.with_context(|| name.clone())?);
        }
        Ok(Self(functions))
    }
}

fn deployed(package: &str, everywhere: &Value, own: &Value) -> Result<Deployed> {
    let mut variables = BTreeSet::new();
    for level in [everywhere, own] {
        for (name, value) in
            level.pointer("/Environment/Variables").and_then(Value::as_object).into_iter().flatten()
        {
            // What is set for all functions can be taken away from one.
            if value == "AWS::NoValue" {
                variables.remove(name)
            } else {
                variables.insert(name.clone())
            };
        }
    }
    let timeout = own["Timeout"].as_u64().or(everywhere["Timeout"].as_u64()).context("no Timeout")?;
    let mut routes = Vec::new();
    for event in own["Events"].as_object().into_iter().flatten().map(|(_, event)| event) {
        if event["Type"] == "HttpApi" {
            routes.push(route(package, &event["Properties"])?);
        }
    }
    Ok(Deployed { variables, timeout: Duration::from_secs(timeout), routes })
}

fn route(package: &str, properties: &Value) -> Result<Route> {
    let (Some(method), Some(path)) = (properties["Method"].as_str(), properties["Path"].as_str()) else {
        bail!("a route without method or path: {properties}")
    };
    let method =
        if method == "ANY" { None } else { Some(method.to_uppercase().parse().context("a method")?) };
    Ok(Route { function: package.to_owned(), method, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_function_has_its_own_variables_and_those_of_all() {
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
        let template = Template::of(&template).unwrap();
        let reads = template.function("reads").unwrap();
        assert_eq!(reads.variables, ["KEY", "URL"].map(str::to_owned).into());
        assert_eq!(reads.timeout, Duration::from_secs(15));
        let method = Some(axum::http::Method::GET);
        assert_eq!(reads.routes, [Route { function: "reads".to_owned(), method, path: "/a".to_owned() }]);
        assert!(template.function("writes").unwrap_err().to_string().contains("Binary: writes"));
    }
}
