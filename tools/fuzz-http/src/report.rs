//! The report of a run.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

#[derive(Debug, Default)]
pub struct FuzzReport {
    pub events: u64,
    /// Violated rules.
    pub faults: Vec<Fault>,
    /// Number of responses by status.
    pub statuses: BTreeMap<u64, u64>,
    /// Number of responses by error code.
    pub codes: BTreeMap<String, u64>,
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
        Ok(Self { status, code })
    }
}

impl FuzzReport {
    pub(crate) fn record(&mut self, number: u64, outcome: Result<CheckedResponse, String>, payload: &[u8]) {
        self.events += 1;
        match outcome {
            Ok(answer) => {
                *self.statuses.entry(answer.status).or_default() += 1;
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
        writeln!(f, "by status: {:?}", self.statuses)?;
        write!(f, "by code: {:?}", self.codes)
    }
}
