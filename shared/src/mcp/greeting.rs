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
    LEAVE,
    error::{CallError, Reason},
    wire::Wire,
};
use crate::upstream::Deadline;

/// How long the probe may take: half of the time that there is, within these bounds. A server that has to wake up is given a second in
/// any case; and one that cannot be connected to is found out by the first request.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// What we speak: the newest revision, and what is offered in the handshake of the older ones, in which the server says its own.
const NEWEST: ProtocolVersion = ProtocolVersion::V_2026_07_28;
const OLDER: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Who we are to a server. To one of an older revision we can do nothing but call: it would ask in the middle of a call, which
/// is no time to wait for a person.
pub(super) struct Caller;

impl ClientHandler for Caller {
    fn get_info(&self) -> ClientConfig {
        let this = Implementation::new("chatkit-sessions", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), this).with_protocol_version(OLDER)
    }
}

pub(super) type Server = RunningService<RoleClient, Caller>;
type Config = StreamableHttpClientTransportConfig;

/// Greets a server in the newest way, and in the older one if that comes to nothing.
pub(super) async fn greet(wire: &Wire, config: &Config, deadline: Deadline) -> Result<Server, CallError> {
    let remaining = deadline.remaining();
    let budget = (remaining / 2).clamp(PROBE.0, PROBE.1).min(remaining);
    let close = async { drop(tokio::time::timeout(LEAVE, wire.close_probe_session()).await) };
    let refusal = match discover(wire, config, budget).await {
        Err(refusal) if !refusal.is_final_for_probe() => refusal,
        greeted => {
            close.await;
            return greeted;
        }
    };
    let (begun, ()) = tokio::join!(initialize(wire, config, deadline), close);
    match begun {
        // It knows no `initialize`, so it is of the newest revision, and was slow or in trouble.
        Err(error) if error.is_of_protocol() => match refusal {
            CallError::NotSent(Reason::TimedOut) => discover(wire, config, deadline.remaining()).await,
            refusal if refusal.is_passing() => Err(refusal),
            _ => Err(error),
        },
        begun => begun,
    }
}

/// Greets a server in the newest way.
async fn discover(wire: &Wire, config: &Config, budget: Duration) -> Result<Server, CallError> {
    greeted(wire, config, ClientLifecycleMode::Discover { preferred_versions: vec![NEWEST] }, budget).await
}

/// Greets a server in the older way, which begins a session.
pub(super) async fn initialize(
    wire: &Wire,
    config: &Config,
    deadline: Deadline,
) -> Result<Server, CallError> {
    greeted(wire, config, ClientLifecycleMode::Initialize, deadline.remaining()).await
}

async fn greeted(
    wire: &Wire,
    config: &Config,
    lifecycle: ClientLifecycleMode,
    budget: Duration,
) -> Result<Server, CallError> {
    let transport = StreamableHttpClientTransport::with_client(wire.clone(), config.clone());
    match tokio::time::timeout(budget, Caller.serve_with_lifecycle(transport, lifecycle)).await {
        Ok(Ok(server)) => Ok(server),
        Ok(Err(error)) if has_no_common_revision(&error) => Err(CallError::NotSent(Reason::Incompatible)),
        Ok(Err(ClientInitializeError::ConnectionClosed(_))) => Err(wire.course.error(Reason::ConnectionLost)),
        Ok(Err(_)) => Err(wire.course.error(Reason::Nonsense)),
        Err(_) => Err(wire.course.error(Reason::TimedOut)),
    }
}

/// Whether the server said which revisions it speaks, and we speak none of them in either way.
fn has_no_common_revision(error: &ClientInitializeError) -> bool {
    let ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } = error else {
        return false;
    };
    !server_supported.is_empty() && !server_supported.iter().any(ProtocolVersion::has_initialize)
}
