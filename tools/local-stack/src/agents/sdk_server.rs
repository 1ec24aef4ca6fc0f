//! MCP servers that use the official SDKs.

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

/// Time for Python or Node to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A process with a server of an official SDK. It ends when this value is dropped, or when this
/// process ends.
#[derive(Debug)]
pub struct SdkServer {
    process: Child,
    address: SocketAddr,
}

impl SdkServer {
    /// Starts a server of the Python SDK and installs that version first if necessary.
    pub async fn start(sdk: Tool) -> Result<Self, ToolError> {
        let mut python = Command::from(sdk.install_async().await?.python());
        python.arg(script("mcp_server.py")).env("PYTHONUTF8", "1");
        Ok(Self::spawn(python).await?)
    }

    /// Starts a server of the TypeScript SDK and installs it first if necessary. The server keeps
    /// sessions in its process. It answers requests of an unknown session with the status
    /// `unknown_session`.
    pub async fn start_node(unknown_session: u16) -> Result<Self, ToolError> {
        let packages = MCP_NPM.install_async().await?;
        let mut node = Command::from(packages.node());
        node.arg(script("mcp_server.mjs")).arg(packages.folder()).arg(unknown_session.to_string());
        Ok(Self::spawn(node).await?)
    }

    async fn spawn(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("starting a server of MCP's SDK")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, process_reaper::Termination::Kill)?;
        }
        let mut output =
            BufReader::new(process.stdout.take().context("the SDK's process has no standard output")?)
                .lines();
        let port = timeout(START_TIMEOUT, output.next_line())
            .await
            .context("the SDK's server did not start in time")??;
        let port = port
            .context("the SDK's process ended")?
            .parse()
            .context("the SDK's server did not print its port")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let reference = Self { process, address };
        timeout(START_TIMEOUT, reference.listening())
            .await
            .context("the SDK's server did not listen in time")?;
        Ok(reference)
    }

    async fn listening(&self) {
        while TcpStream::connect(self.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// URL of its MCP server.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Host and port, in the format of `AGENT_LOOPBACK_ALLOWLIST`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

impl Drop for SdkServer {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}
