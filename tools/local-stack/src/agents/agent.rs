//! An agent's interface for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::behaviour::Behaviour;
use super::fault::{Fault, FaultId};
use super::http::{AgentServer, Shared};
use super::request_log::{AgentAction, RecordedCall};
use super::revision::Revision;
use crate::http::LatencyRecorder;

/// Settings of an agent's server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// The only MCP revision that it supports.
    pub revision: Revision,
    /// Responds with an event stream where JSON would do. Servers of older revisions always do.
    pub streams: bool,
}

/// A running agent. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Agent {
    id: &'static str,
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped with the rest; the connections wait for this.
    _stop: watch::Sender<()>,
    server: JoinHandle<()>,
}

impl Agent {
    /// Starts only `accounts_payable`.
    pub async fn accounts_payable(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Behaviour::AccountsPayable, settings).await
    }

    /// Starts only `tax_compliance`.
    pub async fn tax_compliance(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Behaviour::TaxCompliance, settings).await
    }

    /// Starts only `cfo_strategy`.
    pub async fn cfo_strategy(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Behaviour::CfoStrategy, settings).await
    }

    pub(super) async fn start(behaviour: Behaviour, settings: Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the agent found no free port")?;
        let address = listener.local_addr().context("the agent has no address")?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(());
        let Settings { revision, streams } = settings;
        let http_server =
            AgentServer { behaviour, revision, streams, shared: shared.clone(), sessions: Arc::default() };
        let server = tokio::spawn(http_server.serve(listener, stopped));
        Ok(Self { id: behaviour.id(), address, shared, _stop: stop, server })
    }

    /// Its id in the registry.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// URL of its MCP server.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Host and port, in the format of `AGENT_LOOPBACK_ALLOWLIST`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a fault and returns its id.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.lock().faults.add(fault)
    }

    /// Number of requests that a fault has affected.
    pub fn hits(&self, fault: FaultId) -> u32 {
        self.shared.lock().faults.hits(fault)
    }

    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Adds a tool under another name.
    pub fn add_tool(&self, name: &'static str) {
        self.shared.lock().tools.push(name);
    }

    /// Accepts only this bearer token from now on.
    pub fn require_bearer(&self, bearer: &str) {
        self.shared.lock().bearer = Some(bearer.to_owned());
    }

    /// Ignores idempotency keys, so that a repeated call is executed again.
    pub fn ignore_idempotency_keys(&self, forget: bool) {
        self.shared.lock().forgets_keys = forget;
    }

    /// Asks with MCP's `input_required` instead of the contract's result. Only for the newest
    /// revision.
    pub fn use_input_required(&self, ask: bool) {
        self.shared.lock().asks_by_protocol = ask;
    }

    /// How long it takes for each request.
    pub fn latency(&self) -> &LatencyRecorder {
        &self.shared.latency
    }

    /// Returns every request, in order of arrival.
    pub fn requests(&self) -> Vec<RecordedCall> {
        self.shared.lock().calls.clone()
    }

    /// Returns the requests after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<RecordedCall> {
        self.shared.lock().calls.get(count..).unwrap_or_default().to_vec()
    }

    /// Number of requests.
    pub fn count(&self) -> usize {
        self.shared.lock().calls.len()
    }

    /// Returns the calls of its tool, in order of arrival.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.requests().into_iter().filter(|call| call.rpc == "tools/call").collect()
    }

    /// Returns its responses to the calls that it executed.
    pub fn responses(&self) -> Vec<serde_json::Value> {
        self.shared.lock().responses.values().cloned().collect()
    }

    /// Returns everything that it executed, in order.
    pub fn actions(&self) -> Vec<AgentAction> {
        self.shared.lock().actions.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}
