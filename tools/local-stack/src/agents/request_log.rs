//! The requests and the actions of an agent.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

use super::fault::Faults;

/// A request that reached an agent's server.
#[derive(Clone)]
pub struct RecordedCall {
    /// `POST`, `GET` or `DELETE`.
    pub method: String,
    /// The JSON-RPC method; empty without a message.
    pub rpc: String,
    /// The parameters, or null.
    pub params: Value,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// Time of arrival.
    pub at: SystemTime,
    pub sent: SentResponse,
}

/// The response of an agent's server. The client may have disconnected before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentResponse {
    /// Nothing yet, or the connection closed without a response.
    Nothing,
    /// An error status; the work is not done.
    Error,
    /// A part of the response, or something else instead.
    Malformed,
    /// The complete response, sent at this time.
    Complete(SystemTime),
}

impl RecordedCall {
    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the arguments of the tool call, or null.
    pub fn arguments(&self) -> &Value {
        &self.params["arguments"]
    }
}

impl fmt::Debug for RecordedCall {
    /// Without headers, which contain a bearer token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

/// An executed action, for example a payment. An action that was executed twice is listed twice.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentAction {
    /// The idempotency key of the call.
    pub key: String,
    /// `paid`, `vat_checked` or `took_over`.
    pub kind: &'static str,
    pub data: Value,
}

#[derive(Debug, Default)]
pub(super) struct AgentState {
    pub(super) calls: Vec<RecordedCall>,
    pub(super) actions: Vec<AgentAction>,
    /// Responses of the executed calls, by idempotency key.
    pub(super) responses: HashMap<String, Value>,
    pub(super) faults: Faults,
    /// Tools that a test has added.
    pub(super) tools: Vec<&'static str>,
    /// The only bearer token that the server accepts; `None` for any.
    pub(super) bearer: Option<String>,
    pub(super) forgets_keys: bool,
    pub(super) asks_by_protocol: bool,
}
