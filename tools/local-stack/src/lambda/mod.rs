//! A local Lambda: the function binaries behind a Runtime API, with function URLs, an HTTP API, and
//! a REST API for functions that stream.

mod build;
mod event;
mod event_v1;
mod function;
mod http;
mod invoke_api;
mod logs;
mod process;
mod response;
mod routes;
mod runtime_api;
mod signature;
mod streaming;
mod template;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

pub use build::clear_cargo_package_env;
pub use build::{
    Binaries, Profile, Workspace, example, functions, functions_for_runtime_secrets,
    functions_with_runtime_secrets, selected_functions, workspace, workspace_example,
};
pub use event::{EntryPoint, RequestMetadata, event};
pub use function::{Function, FunctionSpec};
pub use invoke_api::InvokeApi;
pub use logs::{LogLine, Logs};
pub use process::{Process, resident_memory};
pub use response::InvocationFailure;
pub use routes::{Route, RouteMatch, Routes};
pub use template::{DeployedFunction, Template};

use crate::http::{Port, Server};
use http::Functions;

/// The default limit of processes per function: enough for races, few enough for two cores.
const MAX_CONCURRENCY: usize = 16;

/// The functions of a stack and their endpoints. Dropping it kills every process.
pub struct Lambda {
    functions: Arc<Functions>,
    urls: BTreeMap<String, Server>,
    api: Server,
    rest_api: Server,
    invoke_api: InvokeApi,
    logs: Logs,
}

/// Failed invocations and their causes, which clients do not receive.
#[derive(Clone, Default)]
pub struct FailureLog(Arc<Mutex<Vec<(String, InvocationFailure)>>>);

impl FailureLog {
    fn push(&self, function: &str, failure: InvocationFailure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((function.to_owned(), failure));
    }

    fn all(&self) -> Vec<(String, InvocationFailure)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lambda {
    /// Starts the endpoints of these functions. A process starts at the first request. A function
    /// that streams has no route of the HTTP API, which cannot stream. `ports` has the ports of
    /// functions whose URL other functions must know.
    pub async fn start(
        mut specs: Vec<FunctionSpec>,
        routes: Routes,
        rest_routes: Routes,
        mut ports: BTreeMap<String, Port>,
    ) -> Result<Self> {
        let logs = Logs::default();
        let invoke_port = Port::free().await?;
        let roles = invoke_api::assign_roles(&mut specs, &invoke_port.url())?;
        let mut functions = BTreeMap::new();
        for spec in specs {
            functions.insert(spec.name.clone(), Arc::new(Function::new(spec, MAX_CONCURRENCY, logs.clone())));
        }
        let routes = routes.of_functions(|name| {
            functions.get(name).is_none_or(|function: &Arc<Function>| !function.streams())
        });
        let failures = FailureLog::default();
        let functions = Arc::new(Functions { routes, rest_routes, functions, failures });
        let mut urls = BTreeMap::new();
        for name in functions.functions.keys() {
            let router = http::function_url(functions.clone(), name);
            let port = match ports.remove(name) {
                Some(port) => port,
                None => Port::free().await?,
            };
            urls.insert(name.clone(), port.serve(router));
        }
        let api = Port::free().await?.serve(http::http_api(functions.clone()));
        let rest_api = Port::free().await?.serve(http::rest_api(functions.clone()));
        let invoke_api = InvokeApi::serve(invoke_port, functions.clone(), roles);
        Ok(Self { functions, urls, api, rest_api, invoke_api, logs })
    }

    /// Base URL of the HTTP API, without a trailing slash.
    pub fn api_url(&self) -> String {
        self.api.url()
    }

    /// Base URL of the REST API's stage, without a trailing slash.
    pub fn rest_api_url(&self) -> String {
        format!("{}/{}", self.rest_api.url(), event_v1::STAGE)
    }

    /// Lambda's API, through which functions invoke others.
    pub fn invoke_api(&self) -> &InvokeApi {
        &self.invoke_api
    }

    /// URL of a function, without a trailing slash.
    pub fn function_url(&self, name: &str) -> Result<String> {
        Ok(self.urls.get(name).with_context(|| format!("there is no function {name}"))?.url())
    }

    pub fn function(&self, name: &str) -> Result<&Arc<Function>> {
        self.functions.functions.get(name).with_context(|| format!("there is no function {name}"))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.functions.keys().map(String::as_str)
    }

    /// Returns the failed invocations, in order.
    pub fn failures(&self) -> Vec<(String, InvocationFailure)> {
        self.functions.failures.all()
    }

    /// Number of requests that all endpoints have answered.
    pub fn requests(&self) -> usize {
        self.urls.values().chain([&self.api, &self.rest_api]).map(|server| server.latency().count()).sum()
    }

    /// The output of the functions.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Kills every process. Returns their number.
    pub fn kill(&self) -> usize {
        self.functions.functions.values().map(|function| function.kill()).sum()
    }

    /// Stops accepting events, stops every process, and waits until the logs are complete.
    pub async fn stop(&self) {
        for function in self.functions.functions.values() {
            function.stop().await;
        }
        self.logs.complete().await;
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // Running invocations would keep their processes alive.
        self.kill();
    }
}
