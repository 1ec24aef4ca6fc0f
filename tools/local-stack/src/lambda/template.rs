//! Reads variables, timeout and routes of each function from `template.yaml`. The local functions
//! receive the same variables, so that a variable that the template lacks is missing locally too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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
    /// Whether its URL has the invoke mode `RESPONSE_STREAM`.
    pub streams: bool,
    /// Its routes of a REST API with response streaming.
    pub rest_routes: Vec<Route>,
    /// Its reserved concurrency, if it has a public URL.
    pub url_concurrency: Option<usize>,
    /// The packages of the functions that its role may invoke.
    pub invokes: BTreeSet<String>,
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
        let mut functions = BTreeMap::<String, DeployedFunction>::new();
        let mut packages = BTreeMap::new();
        for (name, resource) in template["Resources"].as_object().context("no Resources")? {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let package = resource.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            let package = package.with_context(|| format!("{name} names no Binary"))?;
            let function = deployed(package, globals, &resource["Properties"]);
            functions.insert(package.to_owned(), function.with_context(|| name.clone())?);
            packages.insert(name.as_str(), package);
        }
        for (id, package) in &packages {
            let role = &template["Resources"][format!("{id}Role")];
            functions.entry((*package).to_owned()).or_default().invokes = invocable(role, &packages);
        }
        for (name, resource) in template["Resources"].as_object().into_iter().flatten() {
            if resource["Type"] == "AWS::Serverless::Api" {
                let paths = &resource["Properties"]["DefinitionBody"]["paths"];
                for route in rest_routes(paths, &packages).with_context(|| name.clone())? {
                    functions.entry(route.function.clone()).or_default().rest_routes.push(route);
                }
            }
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
    let timeout = Duration::from_secs(timeout);
    let streams = own["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM";
    // `!If [ReservesConcurrency, 5, !Ref AWS::NoValue]`
    let reserved = own["ReservedConcurrentExecutions"][1].as_u64();
    let url_concurrency = reserved.filter(|_| !own["FunctionUrlConfig"].is_null());
    let url_concurrency = url_concurrency.map(usize::try_from).transpose().context("the concurrency")?;
    Ok(DeployedFunction {
        variables,
        timeout,
        routes,
        streams,
        url_concurrency,
        ..DeployedFunction::default()
    })
}

/// Returns the packages of the functions that a role may invoke.
fn invocable(role: &Value, packages: &BTreeMap<&str, &str>) -> BTreeSet<String> {
    let policies = role["Properties"]["Policies"].as_array().into_iter().flatten();
    let statements = policies.filter_map(|policy| policy["PolicyDocument"]["Statement"].as_array()).flatten();
    let invocations = statements
        .filter(|statement| statement["Effect"] == "Allow" && statement["Action"] == "lambda:InvokeFunction");
    let ids = invocations.filter_map(|statement| statement["Resource"].as_str()?.strip_suffix(".Arn"));
    ids.filter_map(|id| packages.get(id)).map(|package| (*package).to_owned()).collect()
}

/// Reads the routes of a REST API from its OpenAPI document. Every integration must stream.
fn rest_routes(paths: &Value, packages: &BTreeMap<&str, &str>) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for (path, methods) in paths.as_object().context("the REST API has no paths")? {
        for (method, operation) in methods.as_object().with_context(|| format!("the methods of {path}"))? {
            let integration = &operation["x-amazon-apigateway-integration"];
            let uri = integration["uri"].as_str().unwrap_or_default();
            let id = uri
                .strip_suffix(".Arn}/response-streaming-invocations")
                .and_then(|uri| uri.split_once(":lambda:path/2021-11-15/functions/${"))
                .map(|(_, id)| id);
            let function = id.and_then(|id| packages.get(id));
            let function =
                function.with_context(|| format!("{uri:?} of {path} does not stream from a function"))?;
            ensure!(integration["type"] == "aws_proxy", "the integration of {path} is not aws_proxy");
            let mode = &integration["responseTransferMode"];
            ensure!(mode == "STREAM", "the response transfer mode of {path} is {mode}");
            let method = match method.as_str() {
                "x-amazon-apigateway-any-method" => None,
                method => Some(method.to_uppercase().parse().context("parsing the method of a route")?),
            };
            routes.push(Route { function: (*function).to_owned(), method, path: path.clone() });
        }
    }
    Ok(routes)
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

    #[test]
    fn role_permits_invocations() {
        let function = |binary: &str| {
            json!({
                "Type": "AWS::Serverless::Function",
                "Metadata": { "BuildProperties": { "Binary": binary } },
                "Properties": {}
            })
        };
        let statement = |effect: &str, resource: &str| json!({ "Effect": effect, "Action": "lambda:InvokeFunction", "Resource": resource });
        let statements = [statement("Allow", "Works.Arn"), statement("Deny", "Starts.Arn")];
        let template = Template::from_value(&json!({
            "Globals": { "Function": { "Timeout": 15 } },
            "Resources": {
                "Starts": function("starts"),
                "Works": function("works"),
                "StartsRole": { "Type": "AWS::IAM::Role", "Properties": { "Policies": [
                    { "PolicyDocument": { "Statement": statements } }
                ] } }
            }
        }));
        let template = template.unwrap();
        assert_eq!(template.function("starts").unwrap().invokes, ["works".to_owned()].into());
        assert!(template.function("works").unwrap().invokes.is_empty());
    }

    /// A template with a streaming function behind a REST API.
    fn with_rest_api(uri: &str, mode: &str) -> Result<Template> {
        Template::from_value(&json!({
            "Globals": { "Function": { "Timeout": 15 } },
            "Resources": {
                "Streams": {
                    "Type": "AWS::Serverless::Function",
                    "Metadata": { "BuildProperties": { "Binary": "streams" } },
                    "Properties": { "FunctionUrlConfig": { "InvokeMode": "RESPONSE_STREAM" } }
                },
                "Rest": {
                    "Type": "AWS::Serverless::Api",
                    "Properties": { "DefinitionBody": { "paths": { "/a": { "post": {
                        "x-amazon-apigateway-integration": {
                            "type": "aws_proxy", "uri": uri, "responseTransferMode": mode
                        }
                    } } } } }
                }
            }
        }))
    }

    #[test]
    fn rest_api_must_stream() {
        const URI: &str = "arn:aws:apigateway:x:lambda:path/2021-11-15/functions/${Streams.Arn}/response-streaming-invocations";
        let template = with_rest_api(URI, "STREAM").unwrap();
        let streams = template.function("streams").unwrap();
        let method = Some(axum::http::Method::POST);
        let route = Route { function: "streams".to_owned(), method, path: "/a".to_owned() };
        assert_eq!((streams.streams, &streams.rest_routes), (true, &vec![route]));
        assert!(with_rest_api(URI, "BUFFERED").is_err());
        assert!(with_rest_api(&URI.replace("response-streaming-", ""), "STREAM").is_err());
        assert!(with_rest_api(&URI.replace("2021-11-15", "2015-03-31"), "STREAM").is_err());
        assert!(with_rest_api(&URI.replace("Streams", "Other"), "STREAM").is_err());
    }
}
