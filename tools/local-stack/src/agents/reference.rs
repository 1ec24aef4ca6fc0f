//! Servers that are not ours: by MCP's own SDKs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process_reaper;
use crate::toolchain::{MCP_NPM, Tool, ToolError};

/// For Python or Node to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with a server of an SDK in it. It ends when this is dropped, and when our own process ends.
#[derive(Debug)]
pub struct Reference {
    process: Child,
    address: SocketAddr,
}

impl Reference {
    /// Installs that version of the Python SDK if need be, and starts a server.
    pub async fn start(sdk: Tool) -> Result<Self, ToolError> {
        let mut python = Command::from(sdk.ready().await?.python());
        python.arg(script("mcp_server.py")).env("PYTHONUTF8", "1");
        Ok(Self::spawn(python).await?)
    }

    /// Installs the TypeScript SDK if need be, and starts a server with sessions, each in its own process. `unknown_session` is the
    /// status that it answers to requests in a session that it does not know.
    pub async fn start_node(unknown_session: u16) -> Result<Self, ToolError> {
        let packages = MCP_NPM.ready().await?;
        let mut node = Command::from(packages.node());
        node.arg(script("mcp_server.mjs")).arg(packages.folder()).arg(unknown_session.to_string());
        Ok(Self::spawn(node).await?)
    }

    async fn spawn(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("starting a server by MCP's SDK")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::End::Kill)?;
        }
        let mut said = BufReader::new(process.stdout.take().context("no pipe from the SDK")?).lines();
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

    /// Host and port, as `AGENT_LOOPBACK_ALLOWLIST` wants them.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
