//! The report of a run.

use std::{collections::BTreeMap, fmt};

use lambda_http::lambda_runtime::MetadataPrelude;
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub struct FuzzReport {
    pub events: u64,
    /// Violated rules.
    pub faults: Vec<Fault>,
    /// Number of responses by status.
    pub statuses: BTreeMap<u64, u64>,
    /// Number of responses by error code.
    pub codes: BTreeMap<String, u64>,
    /// Number of streams with events.
    pub streams: u64,
}

/// An event that violated a rule.
#[derive(Debug)]
pub struct Fault {
    /// Number of the event, for `--first`.
    pub number: u64,
    pub description: String,
    /// The beginning of the payload.
    pub payload: String,
}

/// A valid response.
pub struct CheckedResponse {
    pub status: u64,
    pub code: Option<String>,
    pub is_stream: bool,
}

impl CheckedResponse {
    /// Validates a response as Lambda does, and an error as a client does.
    pub fn check(response: &Value) -> Result<Self, String> {
        let wrong = |description: &str| Err(format!("{description}: {response}"));
        let Some(status) = response["statusCode"].as_u64().filter(|status| (200..600).contains(status))
        else {
            return wrong("the status is missing or invalid");
        };
        let headers = response["headers"].as_object();
        if !headers.is_some_and(|headers| headers.values().all(Value::is_string)) {
            return wrong("a header is not a string");
        }
        let body = response["body"].as_str().map(serde_json::from_str::<Value>);
        let code = match (status, body) {
            (202 | 204 | 304, None) => None,
            (200, Some(Ok(_))) => None,
            (400.., Some(Ok(problem))) => {
                if problem["status"] != status
                    || response["headers"]["content-type"] != "application/problem+json"
                {
                    return wrong("the error has no problem details");
                }
                if status >= 500 {
                    return wrong("the response is a server error");
                }
                problem["code"].as_str().map(str::to_owned)
            }
            _ => return wrong("the response is invalid"),
        };
        Ok(Self { status, code, is_stream: false })
    }

    /// Validates a response of a function that streams, with its whole body: a stream of events, or
    /// what a function that does not stream responds. No body is empty.
    pub fn check_streamed(metadata: &MetadataPrelude, body: &[u8]) -> Result<Self, String> {
        let status = metadata.status_code.as_u16();
        let wrong = |rule: &str| Err(format!("{rule}: {metadata:?} {:?}", String::from_utf8_lossy(body)));
        let mut headers = serde_json::Map::new();
        for (name, value) in &metadata.headers {
            let Ok(value) = value.to_str() else { return wrong("a header is not a string") };
            headers.insert(name.to_string(), value.into());
        }
        let Ok(body_text) = std::str::from_utf8(body) else { return wrong("the body is not UTF-8") };
        match headers.get("content-type").and_then(Value::as_str) {
            Some("text/event-stream; charset=utf-8") => {
                if status != 200 || !is_event_stream(body_text) {
                    return wrong("the stream is invalid");
                }
                Ok(Self { status: status.into(), code: None, is_stream: true })
            }
            // The response to a preflight request.
            Some("text/plain") => {
                if status != 200 || body_text != "\n" {
                    return wrong("the preflight response is invalid");
                }
                Ok(Self { status: status.into(), code: None, is_stream: false })
            }
            _ => Self::check(&json!({ "statusCode": status, "headers": headers, "body": body_text })),
        }
    }
}

/// Returns whether a body has events only: at least one, each with one line of JSON, and none that
/// reports a failure.
fn is_event_stream(body: &str) -> bool {
    let events = body.strip_suffix("\n\n").map(|body| body.split("\n\n"));
    events.is_some_and(|mut events| {
        events.all(|event| {
            let data = event.strip_prefix("data: ").filter(|data| !data.contains('\n'));
            let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
            data.is_some_and(|data| data["type"] != "error")
        })
    })
}

impl FuzzReport {
    pub(crate) fn record(&mut self, number: u64, outcome: Result<CheckedResponse, String>, payload: &[u8]) {
        self.events += 1;
        match outcome {
            Ok(answer) => {
                *self.statuses.entry(answer.status).or_default() += 1;
                self.streams += u64::from(answer.is_stream);
                if let Some(code) = answer.code {
                    *self.codes.entry(code).or_default() += 1;
                }
            }
            Err(description) => {
                let payload = String::from_utf8_lossy(payload).chars().take(2000).collect();
                self.faults.push(Fault { number, description, payload });
            }
        }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.events += other.events;
        self.streams += other.streams;
        self.faults.extend(other.faults);
        other
            .statuses
            .into_iter()
            .for_each(|(status, count)| *self.statuses.entry(status).or_default() += count);
        other.codes.into_iter().for_each(|(code, count)| *self.codes.entry(code).or_default() += count);
        self
    }
}

impl fmt::Display for FuzzReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().take(10) {
            writeln!(f, "event {}: {}\n  {}", fault.number, fault.description, fault.payload)?;
        }
        let panics = self.faults.iter().filter(|fault| fault.description == "panicked").count();
        writeln!(f, "{} events, {panics} panics, {} other faults", self.events, self.faults.len() - panics)?;
        writeln!(f, "{} streams", self.streams)?;
        writeln!(f, "by status: {:?}", self.statuses)?;
        write!(f, "by code: {:?}", self.codes)
    }
}
