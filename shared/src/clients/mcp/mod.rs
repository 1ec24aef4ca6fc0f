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
pub use elicitation::Resume;
pub use error::{Answered, CallError, Reason};
pub use result::{
    Approver, Ask, Asked, Completed, Decision, Failed, FollowUp, Handover, Outcome, Risk, Task, TaskStatus,
};

use crate::platform::{egress::Outbound, http_client::Deadline, telemetry};
use call_state::Course;
use connect::{Greeter, Server};
use elicitation::Wanted;
use transport::Wire;

/// How often a server may say that it is busy before it has done anything.
const MAX_ROUNDS: usize = 4;

/// How long we take leave of a server.
const LEAVE: Duration = Duration::from_millis(300);

/// Calls tools of agents' servers.
#[derive(Clone, Debug)]
pub struct Client {
    outbound: Outbound,
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
pub struct Call<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// What it is given.
    pub arguments: Map<String, Value>,
    /// The decision on what the server had asked for in MCP's own way; a question by the contract is answered in the arguments.
    pub resume: Option<Resume<'a>>,
}

impl Client {
    /// A client by this way out, with these credentials.
    pub fn new(outbound: Outbound, credentials: Credentials) -> Self {
        Self { outbound, credentials: Arc::new(credentials) }
    }

    /// Calls a tool, once. What may be repeated, and when, is the caller's to decide.
    ///
    /// # Errors
    /// See [`CallError`]: whether nothing was done, an error was answered, or nobody knows.
    pub async fn call(
        &self,
        target: &Target<'_>,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Outcome, CallError> {
        let deadline = deadline.within(target.timeout);
        let params = call.params().map_err(CallError::NotSent)?;
        let mut greeter = self.greeter(target)?;
        loop {
            let mut server = greeter.greet(deadline).await?;
            let outcome = converse(&server, params.clone(), greeter.course(), deadline).await;
            let _ = server.close_with_timeout(LEAVE).await;
            if outcome.is_ok() || !greeter.may_begin_anew() {
                return outcome;
            }
        }
    }

    /// Who greets a server for one call.
    fn greeter(&self, target: &Target<'_>) -> Result<Greeter, CallError> {
        let url = self
            .outbound
            .admit(target.url)
            .map_err(|refusal| CallError::NotSent(Reason::Refused(refusal)))?;
        let bearer = self.credentials.header(target.credential, &url).map_err(CallError::NotSent)?;
        let mut config =
            StreamableHttpClientTransportConfig::with_uri(url.as_str()).reinit_on_expired_session(false);
        config.retry_config = Arc::new(resumption());
        // rmcp sends from a task of its own, which knows no trace.
        let traceparent = telemetry::traceparent();
        let course = Arc::new(Course::new());
        Ok(Greeter::new(Wire { outbound: self.outbound.clone(), url, bearer, traceparent, course }, config))
    }
}

impl Call<'_> {
    fn params(self) -> Result<CallToolRequestParams, Reason> {
        let mut params = CallToolRequestParams::new(self.tool.to_owned()).with_arguments(self.arguments);
        if let Some(resume) = self.resume {
            resume.into(&mut params)?;
        }
        Ok(params)
    }
}

/// How a stopped stream is taken up again, within the call's deadline.
fn resumption() -> ExponentialBackoff {
    let mut resumption = ExponentialBackoff::default();
    (resumption.max_times, resumption.base_duration) = (Some(3), Duration::from_millis(200));
    resumption
}

/// What came of one request.
enum Answer {
    /// What the tool answered.
    Outcome(Outcome),
    /// What the server wants to know first, in MCP's own way.
    Question(InputRequiredResult),
}

/// Calls until the server has an answer or a question.
async fn converse(
    server: &Server,
    mut params: CallToolRequestParams,
    course: &Course,
    deadline: Deadline,
) -> Result<Outcome, CallError> {
    for _ in 0..MAX_ROUNDS {
        match once(server, params.clone(), course, deadline).await? {
            Answer::Outcome(outcome) => return Ok(outcome),
            Answer::Question(result) => match elicitation::wanted(result) {
                Ok(Wanted::Answer(asked)) => return Ok(Outcome::Asked(*asked)),
                Ok(Wanted::Again(state)) => params.request_state = Some(state),
                Err(_) => return Err(CallError::Unknown(Reason::BadResult)),
            },
        }
    }
    Err(CallError::Unknown(Reason::BadResult))
}

async fn once(
    server: &Server,
    params: CallToolRequestParams,
    course: &Course,
    deadline: Deadline,
) -> Result<Answer, CallError> {
    let call = CallToolRequest::new(params);
    let mut options = PeerRequestOptions::no_options();
    if server.peer_info().is_some_and(|info| !info.protocol_version.has_initialize()) {
        options = options.with_meta(forms());
    }
    let sending = server.send_request_with_option(ClientRequest::CallToolRequest(call), options);
    let handle = sending.await.map_err(|_| course.error(Reason::ConnectionLost))?;
    let id = handle.id.clone();
    match tokio::time::timeout(deadline.remaining(), handle.await_response()).await {
        Ok(Ok(ServerResult::InputRequiredResult(question))) => Ok(Answer::Question(question)),
        Ok(Ok(_)) => course.take_outcome().map(Answer::Outcome).ok_or(CallError::Unknown(Reason::BadResult)),
        Ok(Err(ServiceError::UnexpectedResponse)) => Err(CallError::Unknown(Reason::BadResult)),
        Ok(Err(_)) => Err(course.error(Reason::ConnectionLost)),
        Err(_) => {
            let error = course.error(Reason::TimedOut);
            let cancelled = CancelledNotificationParam::new(Some(id), None);
            let _ = tokio::time::timeout(LEAVE, server.notify_cancelled(cancelled)).await;
            Err(error)
        }
    }
}

/// What we can do for a server of the newest revision: have a person fill in a form, between two calls.
fn forms() -> RequestMetaObject {
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation =
        Some(ElicitationCapability::new().with_form(FormElicitationCapability::default()));
    let mut meta = RequestMetaObject::new();
    meta.set_client_capabilities(capabilities);
    meta
}
