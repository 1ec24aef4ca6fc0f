//! Records every request, in order of arrival.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::operation::Operation;
use super::secret::RedactedString;

/// The headers that OpenAI acts on, besides the key. Other headers differ between clients.
const SEMANTIC_HEADERS: [&str; 5] =
    ["accept", "idempotency-key", "openai-beta", "openai-organization", "openai-project"];

/// One request and its outcome.
#[derive(Clone)]
pub struct RecordedRequest {
    /// `None` for an unknown URL.
    pub operation: Option<Operation>,
    /// In upper case.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded, in the order of the request.
    pub query: Vec<(String, String)>,
    /// Names in lower case, in the order of the request.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The status of the response, complete or cut. `None` if none was sent.
    pub status: Option<u16>,
    /// The status of the work, whether or not the client received it. `None` if a fault prevented
    /// the work.
    pub work_status: Option<u16>,
    /// The response's `x-request-id`.
    pub request_id: String,
    /// Time of arrival by the fake's clock.
    pub at: SystemTime,
    /// Time from arrival to response. `None` if none was sent.
    pub took: Option<Duration>,
}

impl RecordedRequest {
    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns the parts of the request that are the same for every client.
    pub fn normalized(&self) -> NormalizedRequest {
        let semantic_header = |(name, value): &(String, String)| {
            // Clients differ in whether they send a content type without a body.
            let of_body = name == "content-type" && !self.body.is_empty();
            let keep = of_body || SEMANTIC_HEADERS.contains(&name.as_str());
            keep.then(|| (name.clone(), value.clone()))
        };
        let mut query = self.query.clone();
        query.sort();
        NormalizedRequest {
            method: self.method.clone(),
            path: self.path.clone(),
            query,
            authorization: self.header("authorization").map(RedactedString::new),
            headers: self.headers.iter().filter_map(semantic_header).collect(),
            body: match self.json() {
                Some(json) => Some(canonical(json).to_string()),
                None if self.body.is_empty() => None,
                None => Some(String::from_utf8_lossy(&self.body).into_owned()),
            },
        }
    }
}

impl fmt::Debug for RecordedRequest {
    /// Without headers, which contain an API key or a client secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("body", &String::from_utf8_lossy(&self.body))
            .field("status", &self.status)
            .field("worked", &self.work_status)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A request without client-specific parts. Two clients that send the same request have equal
/// values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NormalizedRequest {
    /// In upper case.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded and sorted.
    pub query: Vec<(String, String)>,
    /// The key, printed as a fingerprint so that a difference is visible.
    pub authorization: Option<RedactedString>,
    /// The other headers that OpenAI acts on, with lower-case names.
    pub headers: BTreeMap<String, String>,
    /// JSON with sorted keys and no spaces.
    pub body: Option<String>,
}

/// Returns the value with the keys of every object sorted, whatever order `serde_json` keeps.
fn canonical(value: Value) -> Value {
    match value {
        Value::Array(all) => Value::Array(all.into_iter().map(canonical).collect()),
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> = map.into_iter().map(|(k, v)| (k, canonical(v))).collect();
            Value::Object(sorted.into_iter().collect::<Map<_, _>>())
        }
        other => other,
    }
}
