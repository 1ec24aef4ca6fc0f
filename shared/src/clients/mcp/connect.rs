//! Connects to an MCP server: with one request of the newest revision, otherwise with
//! `initialize` of the older ones.
//!
//! A server of an older revision does not know that request and may answer it with anything. So
//! almost no error of the probe is believed before `initialize` was tried.

use std::time::Duration;

use rmcp::{
    ClientHandler, ClientServiceExt, RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, RunningService},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};

use super::{
    CLOSE_TIMEOUT,
    call_state::CallState,
    error::{CallError, Reason},
    transport::HttpTransport,
};
use crate::platform::http_client::Deadline;

/// Bounds of the probe's timeout, which is half of the remaining time. A server that
/// has to start gets a second in any case. A server that cannot be connected to is
/// detected by the first request.
const PROBE_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Revisions that we speak. We offer the second one in the handshake of the older ones, and the
/// server answers with its own.
const LATEST_PROTOCOL: ProtocolVersion = ProtocolVersion::V_2026_07_28;
const LEGACY_PROTOCOL: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Client information for a server. An older server gets no capabilities: it would ask for input in
/// the middle of a call, which cannot wait for a person.
pub(super) struct ClientInfo;

impl ClientHandler for ClientInfo {
    fn get_info(&self) -> ClientConfig {
        let this = Implementation::new("chatkit-sessions", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), this).with_protocol_version(LEGACY_PROTOCOL)
    }
}

pub(super) type Server = RunningService<RoleClient, ClientInfo>;

/// Connects to a server for one call. A lost session makes a second connection necessary.
pub(super) struct Connector {
    transport: HttpTransport,
    config: StreamableHttpClientTransportConfig,
    connected: u8,
}

impl Connector {
    pub fn new(transport: HttpTransport, config: StreamableHttpClientTransportConfig) -> Self {
        Self { transport, config, connected: 0 }
    }

    pub fn state(&self) -> &CallState {
        &self.transport.state
    }

    /// Returns whether the call failed because the server forgot the session that it had just
    /// created: it was restarted, or several servers share one address. Nothing was executed, so
    /// the caller may connect again, once.
    pub fn can_reconnect(&self) -> bool {
        self.connected == 1 && self.state().has_lost_session()
    }

    /// Connects with the newest revision, and with `initialize` if that fails. A second connection
    /// uses `initialize` only, since the server is then known to be older.
    pub async fn connect(&mut self, deadline: Deadline) -> Result<Server, CallError> {
        self.connected += 1;
        if self.connected > 1 {
            return self.initialize(deadline).await;
        }
        let remaining = deadline.remaining();
        let budget = (remaining / 2).clamp(PROBE_TIMEOUTS.0, PROBE_TIMEOUTS.1).min(remaining);
        let close =
            async { drop(tokio::time::timeout(CLOSE_TIMEOUT, self.transport.close_probe_session()).await) };
        let refusal = match self.discover(budget).await {
            Err(refusal) if !refusal.is_final_for_probe() && !deadline.remaining().is_zero() => refusal,
            connected => {
                close.await;
                return connected;
            }
        };
        let (begun, ()) = tokio::join!(self.initialize(deadline), close);
        match begun {
            // The server does not know `initialize`, so it speaks the newest revision
            // and was slow or failing.
            Err(error) if error.is_protocol_error() => match refusal {
                CallError::NotSent(Reason::TimedOut) => self.discover(deadline.remaining()).await,
                refusal if refusal.is_retryable() => Err(refusal),
                _ => Err(error),
            },
            begun => begun,
        }
    }

    async fn discover(&self, budget: Duration) -> Result<Server, CallError> {
        self.serve(ClientLifecycleMode::Discover { preferred_versions: vec![LATEST_PROTOCOL] }, budget).await
    }

    async fn initialize(&self, deadline: Deadline) -> Result<Server, CallError> {
        self.serve(ClientLifecycleMode::Initialize, deadline.remaining()).await
    }

    async fn serve(&self, lifecycle: ClientLifecycleMode, budget: Duration) -> Result<Server, CallError> {
        let transport =
            StreamableHttpClientTransport::with_client(self.transport.clone(), self.config.clone());
        let state = self.state();
        match tokio::time::timeout(budget, ClientInfo.serve_with_lifecycle(transport, lifecycle)).await {
            Ok(Ok(server)) => Ok(server),
            Ok(Err(error)) if has_no_common_revision(&error) => Err(CallError::NotSent(Reason::Incompatible)),
            Ok(Err(ClientInitializeError::ConnectionClosed(_))) => Err(state.error(Reason::ConnectionLost)),
            Ok(Err(_)) => Err(state.error(Reason::NotMcp)),
            Err(_) => Err(state.error(Reason::TimedOut)),
        }
    }
}

/// Returns whether the server reported its revisions and we speak none of
/// them, with or without `initialize`.
fn has_no_common_revision(error: &ClientInitializeError) -> bool {
    let ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } = error else {
        return false;
    };
    !server_supported.is_empty() && !server_supported.iter().any(ProtocolVersion::has_initialize)
}
