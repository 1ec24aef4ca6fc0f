//! MCP client: calls a tool of an agent's server, one call at a time.
//!
//! Supports the revisions 2025-06-18 and 2025-11-25 (with `initialize`) and 2026-07-28
//! (without). A server gets what is in [`ToolCall`] and the bearer token that is configured for
//! its origin, never a user's token.
//! Source: <https://modelcontextprotocol.io/specification/2026-07-28>

mod call_state;
mod connect;
mod credentials;
mod elicitation;
mod error;
#[cfg(feature = "doctor")]
mod list_tools;
mod reply;
mod result;
mod transport;

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderValue;
use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, CancelledNotificationParam, ClientCapabilities,
        ClientRequest, ElicitationCapability, FormElicitationCapability, InputRequiredResult,
        RequestMetaObject, ServerResult,
    },
    service::{PeerRequestOptions, ServiceError},
    transport::{
        common::client_side_sse::ExponentialBackoff,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value};
use url::Url;

pub use credentials::Credentials;
pub use elicitation::ElicitationAnswer;
pub use error::{CallError, ErrorResponse, Reason};
#[cfg(feature = "doctor")]
pub use list_tools::OfferedTools;
pub use result::{
    Approver, Completed, Decision, FailureReport, FollowUp, Handover, HumanRequest, NeedsHuman, Risk,
    TaskStatus, TaskUpdate, ToolResult,
};

use crate::platform::{egress::EgressClient, http_client::Deadline, secret_store::Rotating, telemetry};
use call_state::CallState;
use connect::{Connector, Server};
use elicitation::InputRequired;
use transport::HttpTransport;

/// Maximum number of attempts at one call while the server reports that it is
/// busy and has done nothing.
const MAX_ROUNDS: usize = 4;

/// Timeout for closing a connection to a server, and for cancelling a call.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// Calls tools on agents' MCP servers.
#[derive(Clone, Debug)]
pub struct Client {
    outbound: EgressClient,
    credentials: Rotating<Credentials>,
}

/// The credential of one call.
struct CallCredential {
    credentials: Arc<Credentials>,
    bearer: Option<(Rotating<HeaderValue>, Arc<HeaderValue>)>,
}

/// A server, as the registry describes it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub url: &'a str,
    /// Name of the credential that the server gets.
    pub credential: Option<&'a str>,
    /// Maximum duration of a call, handshake included.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    pub tool: &'a str,
    pub arguments: Map<String, Value>,
    /// Additional members of the request's `_meta`.
    pub meta: Map<String, Value>,
    /// Decision on an `input_required` request of the server. A decision on a question by the
    /// contract is sent in the arguments.
    pub resume: Option<ElicitationAnswer<'a>>,
}

impl Client {
    pub fn new(outbound: EgressClient, credentials: impl Into<Rotating<Credentials>>) -> Self {
        Self { outbound, credentials: credentials.into() }
    }

    /// Calls a tool once. The caller decides what may be repeated, and when.
    ///
    /// # Errors
    /// The [`CallError`] states whether nothing was done, the server responded with an error,
    /// or the outcome is unknown.
    pub async fn call(
        &self,
        target: &Target<'_>,
        call: ToolCall<'_>,
        deadline: Deadline,
    ) -> Result<ToolResult, CallError> {
        let deadline = deadline.capped(target.timeout);
        let params = call.params().map_err(CallError::NotSent)?;
        self.with_credential(target, async |mut connector| {
            loop {
                let mut server = connector.connect(deadline).await?;
                let outcome = call_until_result(&server, params.clone(), connector.state(), deadline).await;
                let _ = server.close_with_timeout(CLOSE_TIMEOUT).await;
                if outcome.is_ok() || !connector.can_reconnect() {
                    return outcome;
                }
            }
        })
        .await
    }

    /// Checks the URL, looks up the credential and sends requests with it. If the server refuses the
    /// credential and there is a newer one, sends the requests again: a server that answers 401 has
    /// not called the tool. Both secrets of a credential may have changed, one after the other.
    async fn with_credential<R, F: Future<Output = Result<R, CallError>>>(
        &self,
        target: &Target<'_>,
        send: impl Fn(Connector) -> F,
    ) -> Result<R, CallError> {
        let url = self
            .outbound
            .parse_allowed_url(target.url)
            .map_err(|refusal| CallError::NotSent(Reason::Refused(refusal)))?;
        let mut credential = self.credential(target, &url).await.map_err(CallError::NotSent)?;
        loop {
            let outcome = send(self.connector(&url, credential.header())).await;
            if !matches!(&outcome, Err(CallError::Answered(answered)) if answered.status == 401) {
                return outcome;
            }
            match self.newer_credential(target, &url, credential).await {
                Some(newer) => credential = newer,
                None => return outcome,
            }
        }
    }

    async fn credential(&self, target: &Target<'_>, url: &Url) -> Result<CallCredential, Reason> {
        let credentials = self.credentials.current();
        let bearer = credentials.header(target.credential, url).await?;
        let bearer = bearer.map(|bearer| {
            let value = bearer.current();
            (bearer, value)
        });
        Ok(CallCredential { credentials, bearer })
    }

    /// Returns a newer credential than the one that the server refused: its own secret may have
    /// changed, or the secret with all credentials. A refusal fetches each secret at most once a
    /// minute.
    async fn newer_credential(
        &self,
        target: &Target<'_>,
        url: &Url,
        refused: CallCredential,
    ) -> Option<CallCredential> {
        let (bearer, value) = refused.bearer?;
        if let Some(newer) = bearer.newer_after_refusal(&value).await {
            return Some(CallCredential { bearer: Some((bearer, newer)), credentials: refused.credentials });
        }
        self.credentials.newer_after_refusal(&refused.credentials).await?;
        let newer = self.credential(target, url).await.ok()?;
        newer.bearer.as_ref().is_some_and(|(_, newer)| *newer != value).then_some(newer)
    }

    /// Prepares the connection for one call.
    fn connector(&self, url: &Url, bearer: Option<HeaderValue>) -> Connector {
        let mut config =
            StreamableHttpClientTransportConfig::with_uri(url.as_str()).reinit_on_expired_session(false);
        config.retry_config = Arc::new(resume_backoff());
        // rmcp sends from a task of its own, which has no trace context.
        let traceparent = telemetry::traceparent();
        let state = Arc::new(CallState::new());
        let (outbound, url) = (self.outbound.clone(), url.clone());
        Connector::new(HttpTransport { outbound, url, bearer, traceparent, state }, config)
    }
}

impl CallCredential {
    fn header(&self) -> Option<HeaderValue> {
        self.bearer.as_ref().map(|(_, value)| value.as_ref().clone())
    }
}

impl ToolCall<'_> {
    fn params(self) -> Result<CallToolRequestParams, Reason> {
        let mut params = CallToolRequestParams::new(self.tool.to_owned()).with_arguments(self.arguments);
        params.meta = (!self.meta.is_empty()).then(|| self.meta.into());
        if let Some(resume) = self.resume {
            resume.apply_to(&mut params)?;
        }
        Ok(params)
    }
}

/// Returns the delays for resuming an interrupted stream, within the call's deadline.
fn resume_backoff() -> ExponentialBackoff {
    let mut resumption = ExponentialBackoff::default();
    (resumption.max_times, resumption.base_duration) = (Some(3), Duration::from_millis(200));
    resumption
}

/// Response to one `tools/call` request.
enum CallResponse {
    Outcome(ToolResult),
    /// Input that the server needs first (`input_required`).
    Question(InputRequiredResult),
}

/// Repeats the call until the server returns a result or a question for a person.
async fn call_until_result(
    server: &Server,
    mut params: CallToolRequestParams,
    state: &CallState,
    deadline: Deadline,
) -> Result<ToolResult, CallError> {
    for _ in 0..MAX_ROUNDS {
        match send_call(server, params.clone(), state, deadline).await? {
            CallResponse::Outcome(outcome) => return Ok(outcome),
            CallResponse::Question(result) => match elicitation::parse(result) {
                Ok(InputRequired::Ask(asked)) => return Ok(ToolResult::NeedsHuman(*asked)),
                Ok(InputRequired::Retry(state)) => params.request_state = Some(state),
                Err(_) => return Err(CallError::Unknown(Reason::BadResult)),
            },
        }
    }
    Err(CallError::Unknown(Reason::BadResult))
}

async fn send_call(
    server: &Server,
    params: CallToolRequestParams,
    state: &CallState,
    deadline: Deadline,
) -> Result<CallResponse, CallError> {
    let call = CallToolRequest::new(params);
    let mut options = PeerRequestOptions::no_options();
    if server.peer_info().is_some_and(|info| !info.protocol_version.has_initialize()) {
        options = options.with_meta(elicitation_capabilities());
    }
    let sending = server.send_request_with_option(ClientRequest::CallToolRequest(call), options);
    let handle = sending.await.map_err(|_| state.error(Reason::ConnectionLost))?;
    let id = handle.id.clone();
    match tokio::time::timeout(deadline.remaining(), handle.await_response()).await {
        Ok(Ok(ServerResult::InputRequiredResult(question))) => Ok(CallResponse::Question(question)),
        Ok(Ok(_)) => {
            state.take_result().map(CallResponse::Outcome).ok_or(CallError::Unknown(Reason::BadResult))
        }
        Ok(Err(ServiceError::UnexpectedResponse)) => Err(CallError::Unknown(Reason::BadResult)),
        Ok(Err(_)) => Err(state.error(Reason::ConnectionLost)),
        Err(_) => {
            let error = state.error(Reason::TimedOut);
            let cancelled = CancelledNotificationParam::new(Some(id), None);
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, server.notify_cancelled(cancelled)).await;
            Err(error)
        }
    }
}

/// Returns our capabilities for a server of the newest revision: a person can fill in
/// a form, between two calls.
fn elicitation_capabilities() -> RequestMetaObject {
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation =
        Some(ElicitationCapability::new().with_form(FormElicitationCapability::default()));
    let mut meta = RequestMetaObject::new();
    meta.set_client_capabilities(capabilities);
    meta
}
