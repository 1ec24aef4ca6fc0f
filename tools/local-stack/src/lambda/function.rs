//! A function and its processes. Each process handles one event at a time.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::logs::Logs;
use super::process::Process;
use super::response::InvocationFailure;
use super::runtime_api::Answer;

/// The program and configuration of a function.
#[derive(Clone, Debug, Default)]
pub struct FunctionSpec {
    pub name: String,
    pub binary: PathBuf,
    pub environment: HashMap<String, String>,
    /// Lambda's timeout for one event.
    pub timeout: Duration,
    /// Whether its URL has the invoke mode `RESPONSE_STREAM`.
    pub streams: bool,
    /// Its reserved concurrency, if it has a public URL.
    pub url_concurrency: Option<usize>,
    /// The functions that its role may invoke.
    pub invokes: BTreeSet<String>,
}

pub struct Function {
    spec: Arc<FunctionSpec>,
    logs: Logs,
    idle: Mutex<Vec<Process>>,
    busy: Mutex<Vec<u32>>,
    slots: Semaphore,
    url_slots: Option<Semaphore>,
}

/// Lambda rejects a request, because the function's reserved concurrency is in use.
pub struct Throttled;

/// A process that handles an event, until this is dropped: the caller may drop the invocation.
struct BusyProcess<'a> {
    function: &'a Function,
    pid: u32,
}

impl<'a> BusyProcess<'a> {
    fn new(function: &'a Function, pid: u32) -> Self {
        function.busy().push(pid);
        Self { function, pid }
    }
}

impl Drop for BusyProcess<'_> {
    fn drop(&mut self) {
        self.function.busy().retain(|pid| *pid != self.pid);
    }
}

impl Function {
    /// Creates a function without processes. Events beyond `max_concurrency` wait, where Lambda
    /// would throttle.
    pub fn new(spec: FunctionSpec, max_concurrency: usize, logs: Logs) -> Self {
        let slots = Semaphore::new(max_concurrency);
        let url_slots = spec.url_concurrency.map(Semaphore::new);
        Self { spec: Arc::new(spec), logs, idle: Mutex::default(), busy: Mutex::default(), slots, url_slots }
    }

    /// Admits a request at the function's URL. It is in progress until the permit is dropped. Without
    /// a reserved concurrency there is no limit.
    pub fn admit_url_request(&self) -> Result<Option<SemaphorePermit<'_>>, Throttled> {
        match &self.url_slots {
            Some(slots) => slots.try_acquire().map(Some).map_err(|_| Throttled),
            None => Ok(None),
        }
    }

    /// Handles one event, with an idle process or a new one.
    pub async fn invoke(&self, id: &str, trace_id: &str, event: Bytes) -> Result<Bytes, InvocationFailure> {
        self.invoke_with(id, trace_id, event, None).await?.into_buffered()
    }

    /// Like [`Function::invoke`], and passes the parts of a streamed response on to `stream`.
    pub async fn invoke_with(
        &self,
        id: &str,
        trace_id: &str,
        event: Bytes,
        stream: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Answer, InvocationFailure> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| InvocationFailure::Exited("the stack has stopped".to_owned()))?;
        let idle = self.take_idle();
        let mut process = match idle {
            Some(process) => process,
            None => self.spawn().await.map_err(|error| InvocationFailure::Exited(format!("{error:#}")))?,
        };
        let busy = BusyProcess::new(self, process.pid());
        let answer = process.invoke_with(id, trace_id, event, stream).await;
        drop(busy);
        match &answer {
            Ok(_) | Err(InvocationFailure::Reported(_)) => self.idle().push(process),
            Err(_) => drop(process),
        }
        answer
    }

    /// Starts a process that receives events only from the caller of this function.
    pub async fn spawn(&self) -> Result<Process> {
        Process::spawn(self.spec.clone(), &self.logs).await
    }

    /// Returns whether its URL has the invoke mode `RESPONSE_STREAM`.
    pub fn streams(&self) -> bool {
        self.spec.streams
    }

    pub fn binary(&self) -> &std::path::Path {
        &self.spec.binary
    }

    /// Kills every process, including busy ones. Returns their number.
    pub fn kill(&self) -> usize {
        let busy = self.busy();
        for pid in busy.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::KILL);
        }
        busy.len() + std::mem::take(&mut *self.idle()).len()
    }

    /// Stops accepting events, kills every process and waits for it.
    pub async fn stop(&self) {
        self.slots.close();
        self.kill();
        while !self.busy().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let idle = std::mem::take(&mut *self.idle());
        for mut process in idle {
            process.kill().await;
        }
    }

    fn take_idle(&self) -> Option<Process> {
        let mut idle = self.idle();
        while let Some(mut process) = idle.pop() {
            if process.is_alive() {
                return Some(process);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, Vec<u32>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
