//! Every request that reached the stand-in, in order of arrival.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::operation::Operation;
use super::secret::Hidden;

/// The request headers that OpenAI acts on, beside the key; the rest differs from client to client.
const HEADERS_THAT_MATTER: [&str; 5] =
    ["accept", "idempotency-key", "openai-beta", "openai-organization", "openai-project"];

/// One request and what became of it.
#[derive(Clone)]
pub struct Call {
    /// `None` for a URL that OpenAI does not have.
    pub operation: Option<Operation>,
    /// In capitals.
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// Decoded, as ordered by the caller.
    pub query: Vec<(String, String)>,
    /// Names in lower case, as ordered by the caller.
    pub headers: Vec<(String, String)>,
    /// As sent.
    pub body: Vec<u8>,
    /// The status of the answer that was sent, whole or cut; `None` where none was, or not yet.
    pub status: Option<u16>,
    /// The status that the work came to, whether or not the caller saw it; `None` where a fault kept it from being done.
    pub worked: Option<u16>,
    /// What the answer carried as `x-request-id`.
    pub request_id: String,
    /// When it arrived, by the stand-in's clock.
    pub at: SystemTime,
    /// From its arrival to its answer; `None` where none was sent, or not yet.
    pub took: Option<Duration>,
}

impl Call {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `None` where there is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What two clients must agree on when they make the same call.
    pub fn essence(&self) -> Essence {
        let matters = |(name, value): &(String, String)| {
            // Clients differ in whether they name the type of a body that is not there.
            let of_body = name == "content-type" && !self.body.is_empty();
            let keep = of_body || HEADERS_THAT_MATTER.contains(&name.as_str());
            keep.then(|| (name.clone(), value.clone()))
        };
        let mut query = self.query.clone();
        query.sort();
        Essence {
            method: self.method.clone(),
            path: self.path.clone(),
            query,
            authorization: self.header("authorization").map(Hidden::new),
            headers: self.headers.iter().filter_map(matters).collect(),
            body: match self.json() {
                Some(json) => Some(canonical(json).to_string()),
                None if self.body.is_empty() => None,
                None => Some(String::from_utf8_lossy(&self.body).into_owned()),
            },
        }
    }
}

impl fmt::Debug for Call {
    /// Without headers: a key or a client secret is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("body", &String::from_utf8_lossy(&self.body))
            .field("status", &self.status)
            .field("worked", &self.worked)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A call without what is a client's own business: two clients that mean the same have equal essences.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Essence {
    /// In capitals.
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// Decoded and sorted.
    pub query: Vec<(String, String)>,
    /// The key; printed as a fingerprint, so that one sees whether two differ.
    pub authorization: Option<Hidden>,
    /// Only those others that OpenAI acts on, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// JSON with sorted keys and no spaces.
    pub body: Option<String>,
}

/// The same value with every object's keys sorted, also where `serde_json` keeps the order of insertion.
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
