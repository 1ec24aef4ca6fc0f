//! An agent as those see it who look on.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::behaviour::Trade;
use super::fault::{Fault, FaultId};
use super::http::{Front, Shared};
use super::request_log::{Call, Deed};
use super::revision::Revision;

/// What an agent's server is like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// The one revision of MCP that it speaks.
    pub revision: Revision,
    /// Whether it answers with a stream of events where JSON would do. Servers of the older revisions always do here.
    pub streams: bool,
}

/// A running agent. Dropping it closes its port and every connection at once.
#[derive(Debug)]
pub struct Agent {
    id: &'static str,
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped with the rest, which is what the connections wait for.
    _stop: watch::Sender<()>,
    server: JoinHandle<()>,
}

impl Agent {
    /// `accounts_payable`, alone.
    pub async fn accounts_payable(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Trade::AccountsPayable, settings).await
    }

    /// `tax_compliance`, alone.
    pub async fn tax_compliance(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Trade::TaxCompliance, settings).await
    }

    /// `cfo_strategy`, alone.
    pub async fn cfo_strategy(settings: Settings) -> anyhow::Result<Self> {
        Self::start(Trade::CfoStrategy, settings).await
    }

    pub(super) async fn start(trade: Trade, settings: Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("an agent finds no free port")?;
        let address = listener.local_addr().context("an agent has no address")?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(());
        let Settings { revision, streams } = settings;
        let front = Front { trade, revision, streams, shared: shared.clone(), sessions: Arc::default() };
        let server = tokio::spawn(front.serve(listener, stopped));
        Ok(Self { id: trade.id(), address, shared, _stop: stop, server })
    }

    /// Its name in the registry.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Where its MCP server is.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Host and port, as `AGENT_LOOPBACK_ALLOWLIST` wants them.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Orders a fault; what it answers names it.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.shared.lock().faults.add(fault)
    }

    /// How many requests a fault has hit.
    pub fn hits(&self, fault: FaultId) -> u32 {
        self.shared.lock().faults.hits(fault)
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Whether it forgets what it has done under a key, and does it again.
    pub fn forget_keys(&self, forget: bool) {
        self.shared.lock().forgets_keys = forget;
    }

    /// Whether it asks in MCP's own way (`input_required`) instead of the contract's; for servers of the newest revision.
    pub fn ask_by_protocol(&self, ask: bool) {
        self.shared.lock().asks_by_protocol = ask;
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.shared.lock().calls.len()
    }

    /// The calls of its tool, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.requests().into_iter().filter(|call| call.rpc == "tools/call").collect()
    }

    /// Its answers to the calls for which it did something.
    pub fn answers(&self) -> Vec<serde_json::Value> {
        self.shared.lock().answered.values().cloned().collect()
    }

    /// Everything that it did, in order.
    pub fn deeds(&self) -> Vec<Deed> {
        self.shared.lock().deeds.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}
