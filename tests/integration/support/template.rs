//! `template.yaml`: its functions, their routes and their variables.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::project_files::read_yaml;

/// Method, path and function of each route.
pub type Routes = BTreeSet<(String, String, String)>;

/// The template without YAML tags.
pub struct Template(pub Value);

#[derive(Clone, Copy)]
pub struct Function<'a> {
    pub id: &'a str,
    pub package: &'a str,
    pub properties: &'a Value,
}

impl Function<'_> {
    pub fn is_scheduled(&self) -> bool {
        let events = self.properties["Events"].as_object();
        events.is_some_and(|events| events.values().all(|event| event["Type"] == "ScheduleV2"))
    }

    /// Whether it receives the database webhook at its URL.
    pub fn is_webhook(&self) -> bool {
        self.properties["Events"].is_null()
            && !self.properties["FunctionUrlConfig"].is_null()
            && !self.properties["Environment"]["Variables"]["DATABASE_WEBHOOK_SECRET"].is_null()
    }

    /// Whether it streams: at its URL, and at a REST API.
    pub fn is_streaming(&self) -> bool {
        self.properties["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"
    }

    /// Whether only operators invoke it.
    pub fn is_operated(&self) -> bool {
        self.properties["Events"].is_null() && !self.is_webhook() && !self.is_streaming()
    }
}

impl Template {
    pub fn read() -> Result<Self> {
        Ok(Self(read_yaml("template.yaml")?))
    }

    pub fn functions(&self) -> Result<Vec<Function<'_>>> {
        let resources = self.0["Resources"].as_object().context("no resources")?.iter();
        let functions = resources.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
        let deployed = functions.map(|(id, resource)| {
            let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
            let package = binary.with_context(|| format!("{id} has no build property `Binary`"))?;
            Ok(Function { id, package, properties: &resource["Properties"] })
        });
        deployed.collect()
    }

    /// The routes of the HTTP API, and those of the REST API with the functions that stream.
    pub fn routes(&self) -> Result<Routes> {
        let mut routes = self.streaming_routes()?;
        for function in self.functions()? {
            ensure!(
                !function.is_streaming() || function.properties["Events"].is_null(),
                "{} streams, which the HTTP API cannot do",
                function.id
            );
            for (name, event) in function.properties["Events"].as_object().into_iter().flatten() {
                if event["Type"] == "ScheduleV2" {
                    continue;
                }
                let route = &event["Properties"];
                let (Some(method), Some(path)) = (route["Method"].as_str(), route["Path"].as_str()) else {
                    anyhow::bail!("the event {name} of {} has no method or no path", function.id)
                };
                ensure!(
                    event["Type"] == "HttpApi" && route["ApiId"] == "HttpApi",
                    "the event {name} of {} is not a route of HttpApi",
                    function.id
                );
                let new = routes.insert((method.to_owned(), path.to_owned(), function.package.to_owned()));
                ensure!(new, "{} has the route {method} {path} twice", function.id);
            }
        }
        Ok(routes)
    }

    /// The routes of the REST API. Each of them streams.
    fn streaming_routes(&self) -> Result<Routes> {
        let paths = &self.0["Resources"]["ChatApi"]["Properties"]["DefinitionBody"]["paths"];
        let streaming: Vec<Function<'_>> =
            self.functions()?.into_iter().filter(Function::is_streaming).collect();
        let mut routes = Routes::new();
        for (path, methods) in paths.as_object().context("the REST API has no paths")? {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let integration = &operation["x-amazon-apigateway-integration"];
                let mode = &integration["responseTransferMode"];
                ensure!(mode == "STREAM", "{method} {path} of the REST API has the mode {mode}");
                let uri = integration["uri"].as_str().unwrap_or_default();
                let target = |function: &&Function<'_>| {
                    uri.ends_with(&format!(
                        ":lambda:path/2021-11-15/functions/${{{}.Arn}}/response-streaming-invocations",
                        function.id
                    ))
                };
                let function = streaming.iter().find(target);
                let function = function.with_context(|| format!("{uri} streams from no function"))?;
                routes.insert((method.to_uppercase(), path.clone(), function.package.to_owned()));
            }
        }
        let routed: BTreeSet<&str> = routes.iter().map(|(_, _, package)| package.as_str()).collect();
        let unrouted = streaming.iter().find(|function| !routed.contains(function.package));
        ensure!(unrouted.is_none(), "{} has no route of the REST API", unrouted.map_or("", |one| one.id));
        Ok(routes)
    }

    /// The functions that a schedule, the database or an operator invokes.
    pub fn unrouted(&self) -> Result<BTreeSet<String>> {
        let unrouted = |function: &Function<'_>| {
            function.is_scheduled() || function.is_webhook() || function.is_operated()
        };
        let functions = self.functions()?.into_iter().filter(unrouted);
        Ok(functions.map(|function| function.package.to_owned()).collect())
    }

    /// The environment variables of a function, with their values.
    pub fn environment(&self, function: &Function<'_>) -> BTreeMap<String, Value> {
        let globals = &self.0["Globals"]["Function"];
        let of = |properties: &Value| properties["Environment"]["Variables"].as_object().cloned();
        let mut variables: BTreeMap<String, Value> = of(globals).into_iter().flatten().collect();
        variables.extend(of(function.properties).into_iter().flatten());
        // A function removes a global variable with this value.
        variables.retain(|_, value| value != "AWS::NoValue");
        // Lambda sets this variable from the logging configuration.
        let level = &globals["LoggingConfig"]["ApplicationLogLevel"];
        variables.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.clone());
        variables
    }
}
