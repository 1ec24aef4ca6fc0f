//! What reached an agent, and what it did.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

use super::fault::Faults;

/// A request that reached an agent's server, whatever became of it.
#[derive(Clone)]
pub struct Call {
    /// `POST`, `GET` or `DELETE`.
    pub method: String,
    /// The method of the JSON-RPC message; empty where there was none.
    pub rpc: String,
    /// Its parameters; null where there were none.
    pub params: Value,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// When it came.
    pub at: SystemTime,
    /// What it was sent.
    pub sent: Sent,
}

/// What an agent's server sent in answer to a request, as far as it knows: a caller may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing yet, or the connection was closed without a word.
    Nothing,
    /// A status that says no; the work is not done.
    Refusal,
    /// A part of the answer, or something else in its place.
    Rubbish,
    /// The whole answer, at this time.
    Answer(SystemTime),
}

impl Call {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// What the tool was given; null where none was called.
    pub fn arguments(&self) -> &Value {
        &self.params["arguments"]
    }
}

impl fmt::Debug for Call {
    /// Without headers: a bearer may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

/// Something that an agent did, such as a payment. One that was done twice is here twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// The idempotency key of the call.
    pub key: String,
    /// `paid`, `vat_checked` or `took_over`.
    pub what: &'static str,
    /// What it was done with.
    pub with: Value,
}

/// Everything an agent remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) calls: Vec<Call>,
    pub(super) deeds: Vec<Deed>,
    /// The answers to the calls that did something, by key.
    pub(super) answered: HashMap<String, Value>,
    pub(super) faults: Faults,
    pub(super) forgets_keys: bool,
    pub(super) asks_by_protocol: bool,
}
