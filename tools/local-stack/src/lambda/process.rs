//! One process of a function; Lambda calls it an execution environment.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Bytes;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::function::FunctionSpec;
use super::invoke_api::REGION;
use super::logs::Logs;
use super::response::InvocationFailure;
use super::runtime_api::{Answer, Invocation, RuntimeApi};
use crate::process_reaper;

/// Lambda's limit until the first request for an event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running process. Dropping it kills it.
pub struct Process {
    spec: Arc<FunctionSpec>,
    child: Child,
    pid: u32,
    runtime_api: RuntimeApi,
    spawned: Instant,
}

impl Process {
    /// Starts a process, which requests its first event by itself.
    pub async fn spawn(spec: Arc<FunctionSpec>, logs: &Logs) -> Result<Self> {
        let runtime_api = RuntimeApi::start(&spec.name).await?;
        let mut command = Command::new(&spec.binary);
        command
            .env_clear()
            .envs(lambda_environment(&spec, &runtime_api.address()))
            .envs(&spec.environment)
            // Lambda does not have the project's files.
            .current_dir("/")
            // Ctrl-C must reach only this process.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let spawned = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {}", spec.binary.display()))?;
        let pid = child.id().context("the process has no id")?;
        process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            logs.follow(&spec.name, stdout);
            logs.follow(&spec.name, stderr);
        }
        Ok(Self { spec, child, pid, runtime_api, spawned })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// Sends an event and waits for the response. After a failure the process cannot be used again.
    pub async fn invoke(
        &mut self,
        id: &str,
        trace_id: &str,
        event: Bytes,
    ) -> Result<Bytes, InvocationFailure> {
        self.invoke_with(id, trace_id, event, None).await?.into_buffered()
    }

    /// Like [`Process::invoke`], and passes the parts of a streamed response on to `stream`.
    pub async fn invoke_with(
        &mut self,
        id: &str,
        trace_id: &str,
        event: Bytes,
        stream: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Answer, InvocationFailure> {
        let (started, has_started) = oneshot::channel();
        let (responder, mut response) = oneshot::channel();
        let timeout = self.spec.timeout;
        let invocation = Invocation {
            id: id.to_owned(),
            trace_id: trace_id.to_owned(),
            event,
            timeout,
            started,
            stream,
            responder,
        };
        self.runtime_api.send(invocation);
        tokio::select! {
            _ = has_started => {}
            ended = self.child.wait() => return Err(self.ended(ended)),
            () = tokio::time::sleep(INIT_TIMEOUT) => return Err(self.timed_out().await),
        }
        tokio::select! {
            // The response first: a process may respond and exit.
            biased;
            responder = &mut response => responder.unwrap_or(Err(InvocationFailure::Exited("the Runtime API was closed".to_owned()))),
            ended = self.child.wait() => Err(self.ended(ended)),
            () = tokio::time::sleep(timeout) => Err(self.timed_out().await),
        }
    }

    /// Returns whether the process is running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns the peak resident memory in bytes. Available on Linux only.
    pub fn peak_memory(&self) -> Option<u64> {
        memory(self.pid, "VmHWM:")
    }

    /// Kills the process and waits for it.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    fn ended(&self, status: std::io::Result<std::process::ExitStatus>) -> InvocationFailure {
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let init_error =
            self.runtime_api.init_error().map(|error| format!(", init error: {error}")).unwrap_or_default();
        InvocationFailure::Exited(format!("{status}{init_error}"))
    }

    async fn timed_out(&mut self) -> InvocationFailure {
        self.kill().await;
        InvocationFailure::TimedOut
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        // Tokio waits for it in the background; until then the system does not reuse its id.
        process_reaper::forget(self.pid);
    }
}

/// Returns the resident memory of a process in bytes, also while it handles an event. Available on
/// Linux only.
pub fn resident_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

/// Returns a size that the kernel reports about a process.
fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Returns the environment of a function on `provided.al2023`, without variables that only AWS
/// services need.
fn lambda_environment(spec: &FunctionSpec, runtime_api: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_LAMBDA_FUNCTION_NAME", spec.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", spec.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local/[$LATEST]".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ]
}
