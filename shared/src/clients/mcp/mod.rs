//! Agents: servers of the Model Context Protocol, of which one tool is called at a time.
//!
//! Servers of the revisions 2025-06-18, 2025-11-25 (with `initialize`) and 2026-07-28 (without) are spoken to as they need it. What
//! a server gets is what is in [`Call`], and the bearer that was configured for its origin: never a token of a user.
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

pub use credentials::Credentials;
pub use elicitation::ElicitationAnswer;
pub use error::{CallError, ErrorResponse, Reason};
pub use result::{
    Approver, Completed, Decision, Failed, FollowUp, Handover, HumanRequest, NeedsHuman, Risk, Task,
    TaskStatus, ToolResult,
};

use crate::platform::{egress::EgressClient, http_client::Deadline, telemetry};
use call_state::CallState;
use connect::{Connector, Server};
use elicitation::InputRequired;
use transport::HttpTransport;

/// How often a server may say that it is busy before it has done anything.
const MAX_ROUNDS: usize = 4;

/// How long we take leave of a server.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// Calls tools of agents' servers.
#[derive(Clone, Debug)]
pub struct Client {
    outbound: EgressClient,
    credentials: Arc<Credentials>,
}

/// A server, as the registry has it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where it is.
    pub url: &'a str,
    /// The name of the credential to show it.
    pub credential: Option<&'a str>,
    /// The longest that a call may take, handshake included.
    pub timeout: Duration,
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// What it is given.
    pub arguments: Map<String, Value>,
    /// The decision on what the server had asked for in MCP's own way; a question by the contract is answered in the arguments.
    pub resume: Option<ElicitationAnswer<'a>>,
}

impl Client {
    /// A client by this way out, with these credentials.
    pub fn new(outbound: EgressClient, credentials: Credentials) -> Self {
        Self { outbound, credentials: Arc::new(credentials) }
    }

    /// Calls a tool, once. What may be repeated, and when, is the caller's to decide.
    ///
    /// # Errors
    /// See [`CallError`]: whether nothing was done, an error was answered, or nobody knows.
    pub async fn call(
        &self,
        target: &Target<'_>,
        call: ToolCall<'_>,
        deadline: Deadline,
    ) -> Result<ToolResult, CallError> {
        let deadline = deadline.capped(target.timeout);
        let params = call.params().map_err(CallError::NotSent)?;
        let mut greeter = self.connector(target)?;
        loop {
            let mut server = greeter.connect(deadline).await?;
            let outcome = call_until_result(&server, params.clone(), greeter.state(), deadline).await;
            let _ = server.close_with_timeout(CLOSE_TIMEOUT).await;
            if outcome.is_ok() || !greeter.can_reconnect() {
                return outcome;
            }
        }
    }

    /// Who greets a server for one call.
    fn connector(&self, target: &Target<'_>) -> Result<Connector, CallError> {
        let url = self
            .outbound
            .parse_allowed_url(target.url)
            .map_err(|refusal| CallError::NotSent(Reason::Refused(refusal)))?;
        let bearer = self.credentials.header(target.credential, &url).map_err(CallError::NotSent)?;
        let mut config =
            StreamableHttpClientTransportConfig::with_uri(url.as_str()).reinit_on_expired_session(false);
        config.retry_config = Arc::new(resume_backoff());
        // rmcp sends from a task of its own, which knows no trace.
        let traceparent = telemetry::traceparent();
        let course = Arc::new(CallState::new());
        Ok(Connector::new(
            HttpTransport { outbound: self.outbound.clone(), url, bearer, traceparent, course },
            config,
        ))
    }
}

impl ToolCall<'_> {
    fn params(self) -> Result<CallToolRequestParams, Reason> {
        let mut params = CallToolRequestParams::new(self.tool.to_owned()).with_arguments(self.arguments);
        if let Some(resume) = self.resume {
            resume.apply_to(&mut params)?;
        }
        Ok(params)
    }
}

/// How a stopped stream is taken up again, within the call's deadline.
fn resume_backoff() -> ExponentialBackoff {
    let mut resumption = ExponentialBackoff::default();
    (resumption.max_times, resumption.base_duration) = (Some(3), Duration::from_millis(200));
    resumption
}

/// What came of one request.
enum CallResponse {
    /// What the tool answered.
    Outcome(ToolResult),
    /// What the server wants to know first, in MCP's own way.
    Question(InputRequiredResult),
}

/// Calls until the server has an answer or a question.
async fn call_until_result(
    server: &Server,
    mut params: CallToolRequestParams,
    course: &CallState,
    deadline: Deadline,
) -> Result<ToolResult, CallError> {
    for _ in 0..MAX_ROUNDS {
        match send_call(server, params.clone(), course, deadline).await? {
            CallResponse::Outcome(outcome) => return Ok(outcome),
            CallResponse::Question(result) => match elicitation::parse(result) {
                Ok(InputRequired::Ask(asked)) => return Ok(ToolResult::Asked(*asked)),
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
    course: &CallState,
    deadline: Deadline,
) -> Result<CallResponse, CallError> {
    let call = CallToolRequest::new(params);
    let mut options = PeerRequestOptions::no_options();
    if server.peer_info().is_some_and(|info| !info.protocol_version.has_initialize()) {
        options = options.with_meta(elicitation_capabilities());
    }
    let sending = server.send_request_with_option(ClientRequest::CallToolRequest(call), options);
    let handle = sending.await.map_err(|_| course.error(Reason::ConnectionLost))?;
    let id = handle.id.clone();
    match tokio::time::timeout(deadline.remaining(), handle.await_response()).await {
        Ok(Ok(ServerResult::InputRequiredResult(question))) => Ok(CallResponse::Question(question)),
        Ok(Ok(_)) => {
            course.take_result().map(CallResponse::Outcome).ok_or(CallError::Unknown(Reason::BadResult))
        }
        Ok(Err(ServiceError::UnexpectedResponse)) => Err(CallError::Unknown(Reason::BadResult)),
        Ok(Err(_)) => Err(course.error(Reason::ConnectionLost)),
        Err(_) => {
            let error = course.error(Reason::TimedOut);
            let cancelled = CancelledNotificationParam::new(Some(id), None);
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, server.notify_cancelled(cancelled)).await;
            Err(error)
        }
    }
}

/// What we can do for a server of the newest revision: have a person fill in a form, between two calls.
fn elicitation_capabilities() -> RequestMetaObject {
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation =
        Some(ElicitationCapability::new().with_form(FormElicitationCapability::default()));
    let mut meta = RequestMetaObject::new();
    meta.set_client_capabilities(capabilities);
    meta
}
