//! A server that is not ours: MCP's own Python SDK.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::guardian;
use crate::tools::{Tool, ToolError};

/// For Python to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Python process with a server of that SDK in it. It ends when this is dropped, and when our own process ends.
#[derive(Debug)]
pub struct Reference {
    process: Child,
    address: SocketAddr,
}

impl Reference {
    /// Installs that version of the SDK if need be, and starts a server.
    pub async fn start(sdk: Tool) -> Result<Self, ToolError> {
        let installed = sdk.ready().await?;
        Ok(Self::spawn(Command::from(installed.python())).await?)
    }

    async fn spawn(mut python: Command) -> anyhow::Result<Self> {
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/mcp_server.py"));
        python.env("PYTHONUTF8", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = python.spawn().context("starting Python with MCP's SDK")?;
        if let Some(pid) = process.id() {
            guardian::watch(pid, guardian::End::Kill)?;
        }
        let mut said = BufReader::new(process.stdout.take().context("no pipe from Python")?).lines();
        let port = timeout(PATIENCE, said.next_line()).await.context("the SDK does not start")??;
        let port = port.context("the SDK's process ended")?.parse().context("the SDK said no port")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let reference = Self { process, address };
        timeout(PATIENCE, reference.listening()).await.context("the SDK does not listen")?;
        Ok(reference)
    }

    async fn listening(&self) {
        while TcpStream::connect(self.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Host and port, as `AGENT_ALLOWED_HOSTS` wants them.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            guardian::forget(pid);
        }
    }
}
