//! Greeting a server: in the newest way, which is one request, and otherwise in the older one.
//!
//! A server of an older revision does not know that request, and what it says to it may be anything. So nearly nothing that it says is
//! believed before `initialize` was tried.

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

/// How long the probe may take: half of the time that there is, within these bounds. A server that has to wake up is given a second in
/// any case; and one that cannot be connected to is found out by the first request.
const PROBE_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// What we speak: the newest revision, and what is offered in the handshake of the older ones, in which the server says its own.
const LATEST_PROTOCOL: ProtocolVersion = ProtocolVersion::V_2026_07_28;
const LEGACY_PROTOCOL: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Who we are to a server. To one of an older revision we can do nothing but call: it would ask in the middle of a call, which
/// is no time to wait for a person.
pub(super) struct ClientInfo;

impl ClientHandler for ClientInfo {
    fn get_info(&self) -> ClientConfig {
        let this = Implementation::new("chatkit-sessions", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), this).with_protocol_version(LEGACY_PROTOCOL)
    }
}

pub(super) type Server = RunningService<RoleClient, ClientInfo>;

/// Greets a server for one call, which may need that twice.
pub(super) struct Connector {
    wire: HttpTransport,
    config: StreamableHttpClientTransportConfig,
    greeted: u8,
}

impl Connector {
    pub fn new(wire: HttpTransport, config: StreamableHttpClientTransportConfig) -> Self {
        Self { wire, config, greeted: 0 }
    }

    /// The record of the call.
    pub fn state(&self) -> &CallState {
        &self.wire.course
    }

    /// Whether the call came to nothing since the server had forgotten the session that it had just given: it was started anew, or there
    /// are several behind one address. Nothing was done, so it may be begun anew; once.
    pub fn can_reconnect(&self) -> bool {
        self.greeted == 1 && self.state().has_lost_session()
    }

    /// Greets the server in the newest way, and in the older one if that comes to nothing. The second time it is known to be older.
    pub async fn connect(&mut self, deadline: Deadline) -> Result<Server, CallError> {
        self.greeted += 1;
        if self.greeted > 1 {
            return self.initialize(deadline).await;
        }
        let remaining = deadline.remaining();
        let budget = (remaining / 2).clamp(PROBE_TIMEOUTS.0, PROBE_TIMEOUTS.1).min(remaining);
        let close =
            async { drop(tokio::time::timeout(CLOSE_TIMEOUT, self.wire.close_probe_session()).await) };
        let refusal = match self.discover(budget).await {
            Err(refusal) if !refusal.is_final_for_probe() && !deadline.remaining().is_zero() => refusal,
            greeted => {
                close.await;
                return greeted;
            }
        };
        let (begun, ()) = tokio::join!(self.initialize(deadline), close);
        match begun {
            // It knows no `initialize`, so it is of the newest revision, and was slow or in trouble.
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
        let transport = StreamableHttpClientTransport::with_client(self.wire.clone(), self.config.clone());
        let course = self.state();
        match tokio::time::timeout(budget, ClientInfo.serve_with_lifecycle(transport, lifecycle)).await {
            Ok(Ok(server)) => Ok(server),
            Ok(Err(error)) if has_no_common_revision(&error) => Err(CallError::NotSent(Reason::Incompatible)),
            Ok(Err(ClientInitializeError::ConnectionClosed(_))) => Err(course.error(Reason::ConnectionLost)),
            Ok(Err(_)) => Err(course.error(Reason::Nonsense)),
            Err(_) => Err(course.error(Reason::TimedOut)),
        }
    }
}

/// Whether the server said which revisions it speaks, and we speak none of them in either way.
fn has_no_common_revision(error: &ClientInitializeError) -> bool {
    let ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } = error else {
        return false;
    };
    !server_supported.is_empty() && !server_supported.iter().any(ProtocolVersion::has_initialize)
}
