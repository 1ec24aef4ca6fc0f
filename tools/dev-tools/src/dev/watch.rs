//! `cargo lambda watch`, serving the functions in front of a stack that runs already.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::EnvFile;
use local_stack::http;
use local_stack::http::Port;
use local_stack::toolchain::Installed;
use local_stack::{lambda, process_reaper, project};

/// It serves within a second, on a machine that does nothing else.
const START: Duration = Duration::from_secs(30);

/// It ends its functions, waits for them, and goes.
const END: Duration = Duration::from_secs(15);

/// A running watcher. Dropping it kills it, upon which its functions end by themselves: their Runtime API is gone.
pub struct Watch {
    child: Child,
    pid: u32,
    url: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Starts it on a free port. The first request of each function has it built.
    pub async fn start(cargo_lambda: &Installed, environment: &EnvFile) -> Result<Self> {
        // Free now, and hardly ever taken before the watcher takes it.
        let url = Port::free().await?.url();
        let (address, port) =
            url.trim_start_matches("http://").split_once(':').context("an address without a port")?;
        let mut command = cargo_lambda.program("cargo-lambda");
        command
            .args(["lambda", "watch", "--invoke-address", address, "--invoke-port", port, "--env-file"])
            .arg(environment.path())
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
        let pid = child.id().context("a process without a number")?;
        process_reaper::watch(pid, process_reaper::End::Kill)?;
        let lines = Arc::default();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            follow(&lines, stdout);
            follow(&lines, stderr);
        }
        let mut watch = Self { child, pid, url, lines };
        match timeout(START, watch.reachable()).await {
            Ok(Ok(())) => Ok(watch),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("cargo lambda watch is not to be reached within {START:?}: {}", watch.said()),
        }
    }

    /// Every route under one base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where one function answers by itself, whatever the route.
    pub fn function_url(&self, function: &str) -> String {
        format!("{}/lambda-url/{function}", self.url)
    }

    /// What it and the functions wrote so far.
    pub fn said(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Has it end its functions and itself.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            kill_process(pid, Signal::TERM).context("ending cargo-lambda")?;
        }
        match timeout(END, self.child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("cargo lambda watch did not end within {END:?}: {}", self.said()),
        }
    }

    async fn reachable(&mut self) -> Result<()> {
        // Any answer will do: it knows no route for this path.
        while http::client().get(&self.url).send().await.is_err() {
            if let Some(status) = self.child.try_wait().context("looking after cargo-lambda")? {
                bail!("cargo lambda watch ended with {status}: {}", self.said());
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
