//! Runs `cargo lambda watch`, which serves the functions in front of a running stack.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::EnvFile;
use local_stack::http::Port;
use local_stack::toolchain::Installed;
use local_stack::{lambda, process_reaper, project};

/// Usually it serves within a second.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// It stops its functions and waits for them.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A running `cargo lambda watch`. Dropping it kills it. Its functions then end by themselves,
/// because their Runtime API is gone.
pub struct Watch {
    child: Child,
    pid: u32,
    url: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Starts it on a free port. The first request of each function builds it.
    pub async fn start(cargo_lambda: &Installed, environment: &EnvFile) -> Result<Self> {
        Self::start_with(cargo_lambda, environment, &[]).await
    }

    /// Starts it without functions. A program becomes a function when it connects to
    /// [`Watch::runtime_api`].
    pub async fn start_without_functions(cargo_lambda: &Installed, environment: &EnvFile) -> Result<Self> {
        Self::start_with(cargo_lambda, environment, &["--only-lambda-apis"]).await
    }

    async fn start_with(cargo_lambda: &Installed, environment: &EnvFile, options: &[&str]) -> Result<Self> {
        // The port is free now, and hardly ever in use when the watcher opens it.
        let url = Port::free().await?.url();
        let (address, port) =
            url.trim_start_matches("http://").split_once(':').context("the address has no port")?;
        let mut command = cargo_lambda.program("cargo-lambda");
        command
            .args(["lambda", "watch", "--invoke-address", address, "--invoke-port", port, "--env-file"])
            .arg(environment.path())
            .args(["--env-var", &format!("AWS_ENDPOINT_URL={url}")])
            .args(options)
            .current_dir(project::root());
        lambda::clear_cargo_package_env(&mut command);
        let mut child = Command::from(command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting cargo-lambda")?;
        let pid = child.id().context("the process has no id")?;
        process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        let lines = Arc::default();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            follow(&lines, stdout);
            follow(&lines, stderr);
        }
        let mut watch = Self { child, pid, url, lines };
        match timeout(START_TIMEOUT, watch.wait_until_ready()).await {
            Ok(Ok(())) => Ok(watch),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                bail!("cargo lambda watch did not respond within {START_TIMEOUT:?}: {}", watch.output())
            }
        }
    }

    /// Base URL of all routes, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of one function, for every path.
    pub fn function_url(&self, function: &str) -> String {
        format!("{}/lambda-url/{function}", self.url)
    }

    /// Address of a function's Runtime API, in the format of `AWS_LAMBDA_RUNTIME_API`.
    pub fn runtime_api(&self, function: &str) -> String {
        format!("{}/.rt/{function}", self.url)
    }

    /// Returns the output of the watcher and the functions.
    pub fn output(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Stops the watcher and its functions.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            kill_process(pid, Signal::TERM).context("ending cargo-lambda")?;
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("cargo lambda watch did not end within {STOP_TIMEOUT:?}: {}", self.output()),
        }
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        // Without functions, a request would wait for one.
        let address = self.url.trim_start_matches("http://");
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait().context("checking cargo-lambda")? {
                bail!("cargo lambda watch ended with {status}: {}", self.output());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        process_reaper::forget(self.pid);
    }
}

fn follow(lines: &Arc<Mutex<Vec<String>>>, output: impl AsyncRead + Send + Unpin + 'static) {
    let lines = lines.clone();
    tokio::spawn(async move {
        let mut output = BufReader::new(output).lines();
        while let Ok(Some(line)) = output.next_line().await {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
