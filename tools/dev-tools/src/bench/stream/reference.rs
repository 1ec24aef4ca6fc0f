//! OpenAI's ChatKit server in Python, with uvicorn and the Agents SDK.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use local_stack::http;
use local_stack::model::{FakeModel, MODEL};
use local_stack::process_reaper;
use local_stack::project;
use local_stack::toolchain::OPENAI_CHATKIT;
use serde_json::json;
use tokio::process::{Child, Command};

use super::chat::{INSTRUCTIONS, has_text, question};

/// A process of the server. It ends when this value is dropped.
pub struct ReferenceServer {
    process: Child,
    address: SocketAddr,
}

impl ReferenceServer {
    /// Starts the server. Its socket listens before, so that a request waits for the server as an
    /// event waits for a function.
    pub async fn start(model: &FakeModel) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("opening a loopback port")?;
        let address = listener.local_addr()?;
        let settings = json!({
            "base_url": model.base_url(),
            "api_key": model.api_key(),
            "model": MODEL,
            "instructions": INSTRUCTIONS,
        });
        let mut python = Command::from(OPENAI_CHATKIT.install_async().await?.python());
        python.arg(project::root().join("tools/dev-tools/scripts/reference_server.py"));
        python.arg(settings.to_string());
        // The settings of the developer's environment must not reach the reference.
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"] {
            python.env_remove(name);
        }
        python.env("NO_PROXY", "*").env("PYTHONUTF8", "1");
        python.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).kill_on_drop(true);
        let process = python.spawn().context("starting the reference server")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        Ok(Self { process, address })
    }

    /// Asks a question in a new thread and returns the time of the answer's first token.
    pub async fn first_token(&self) -> Result<Instant> {
        let body = json!({ "type": "threads.create", "params": { "input": question() } });
        let request = http::client().post(format!("http://{}/chatkit", self.address)).json(&body);
        let mut response = request.send().await.context("asking the reference server")?;
        ensure!(response.status().is_success(), "the reference server answered {}", response.status());
        let mut received = Vec::new();
        while let Some(part) = response.chunk().await? {
            received.extend_from_slice(&part);
            if has_text(&received) {
                return Ok(Instant::now());
            }
        }
        bail!("the reference server sent no text: {}", String::from_utf8_lossy(&received))
    }
}

impl Drop for ReferenceServer {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
