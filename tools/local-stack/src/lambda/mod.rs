//! Lambda, played: the function binaries behind a Runtime API, reachable as by AWS's doors.

mod build;
mod event;
mod function;
mod http;
mod logs;
mod process;
mod response;
mod routes;
mod runtime_api;
mod template;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

pub use build::forget_our_package;
pub use build::{Binaries, Profile, Workspace, example, functions, workspace};
pub use event::{Circumstances, Door, event};
pub use function::{Function, Spec};
pub use logs::{Line, Logs};
pub use process::Process;
pub use response::Failure;
pub use routes::{Match, Route, Routes};
pub use template::{Deployed, Template};

use crate::http::{Port, Server};
use http::Functions;

/// Processes of one function at once, where nothing else is said: enough for races, few enough for two cores.
const MOST_AT_ONCE: usize = 16;

/// The functions of a stack and the doors to them. Dropping it kills every process.
pub struct Lambda {
    functions: Arc<Functions>,
    urls: BTreeMap<String, Server>,
    api: Server,
    logs: Logs,
}

/// Invocations that brought no answer, and why: callers are not told.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<Vec<(String, Failure)>>>);

impl Failures {
    fn note(&self, function: &str, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((function.to_owned(), failure));
    }

    fn all(&self) -> Vec<(String, Failure)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lambda {
    /// Opens the doors to these functions. No process is started before the first request.
    pub async fn start(specs: Vec<Spec>, routes: Routes) -> Result<Self> {
        let logs = Logs::default();
        let mut functions = BTreeMap::new();
        for spec in specs {
            functions.insert(spec.name.clone(), Arc::new(Function::new(spec, MOST_AT_ONCE, logs.clone())));
        }
        let functions = Arc::new(Functions { routes, functions, failures: Failures::default() });
        let mut urls = BTreeMap::new();
        for name in functions.functions.keys() {
            let door = http::function_url(functions.clone(), name);
            urls.insert(name.clone(), Port::free().await?.serve(door));
        }
        let api = Port::free().await?.serve(http::http_api(functions.clone()));
        Ok(Self { functions, urls, api, logs })
    }

    /// The HTTP API's base URL, without a slash at its end.
    pub fn api_url(&self) -> String {
        self.api.url()
    }

    /// A function's own URL, without a slash at its end.
    pub fn function_url(&self, name: &str) -> Result<String> {
        Ok(self.urls.get(name).with_context(|| format!("there is no function {name}"))?.url())
    }

    /// A function by its name.
    pub fn function(&self, name: &str) -> Result<&Arc<Function>> {
        self.functions.functions.get(name).with_context(|| format!("there is no function {name}"))
    }

    /// The functions' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.functions.keys().map(String::as_str)
    }

    /// Invocations that brought no answer, in order.
    pub fn failures(&self) -> Vec<(String, Failure)> {
        self.functions.failures.all()
    }

    /// How many requests all doors have answered.
    pub fn requests(&self) -> usize {
        self.urls.values().chain([&self.api]).map(|door| door.meter().count()).sum()
    }

    /// What the functions wrote.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Kills every process.
    pub fn kill(&self) -> usize {
        self.functions.functions.values().map(|function| function.kill()).sum()
    }

    /// Takes no more events, ends every process, and waits until the logs are complete.
    pub async fn end(&self) {
        for function in self.functions.functions.values() {
            function.end().await;
        }
        self.logs.complete().await;
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // Events under way would keep their processes for as long as they last.
        self.kill();
    }
}
