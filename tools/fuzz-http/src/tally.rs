//! What came of the events.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// What all events came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub events: u64,
    /// Those that came to what they must not.
    pub faults: Vec<Fault>,
    /// How often each status was answered.
    pub statuses: BTreeMap<u64, u64>,
    /// How often each code was.
    pub codes: BTreeMap<String, u64>,
}

/// An event that came to what it must not.
#[derive(Debug)]
pub struct Fault {
    /// Its number, for `--first`.
    pub number: u64,
    /// What is wrong.
    pub what: String,
    /// The beginning of it.
    pub payload: String,
}

/// What an event was answered with.
pub struct Answer {
    pub status: u64,
    pub code: Option<String>,
}

impl Answer {
    /// Reads a response as Lambda does, and a problem as a caller does.
    pub fn check(response: &Value) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}: {response}"));
        let Some(status) = response["statusCode"].as_u64().filter(|status| (200..600).contains(status))
        else {
            return wrong("no status");
        };
        let headers = response["headers"].as_object();
        if !headers.is_some_and(|headers| headers.values().all(Value::is_string)) {
            return wrong("headers that are no text");
        }
        let body = response["body"].as_str().map(serde_json::from_str::<Value>);
        let code = match (status, body) {
            (204 | 304, None) => None,
            (200, Some(Ok(_))) => None,
            (400.., Some(Ok(problem))) => {
                if problem["status"] != status
                    || response["headers"]["content-type"] != "application/problem+json"
                {
                    return wrong("no problem details");
                }
                if status >= 500 {
                    return wrong("a fault of ours");
                }
                problem["code"].as_str().map(str::to_owned)
            }
            _ => return wrong("another answer"),
        };
        Ok(Self { status, code })
    }
}

impl Tally {
    pub(crate) fn note(&mut self, number: u64, outcome: Result<Answer, String>, payload: &[u8]) {
        self.events += 1;
        match outcome {
            Ok(answer) => {
                *self.statuses.entry(answer.status).or_default() += 1;
                if let Some(code) = answer.code {
                    *self.codes.entry(code).or_default() += 1;
                }
            }
            Err(what) => {
                let payload = String::from_utf8_lossy(payload).chars().take(2000).collect();
                self.faults.push(Fault { number, what, payload });
            }
        }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
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

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().take(10) {
            writeln!(f, "event {}: {}\n  {}", fault.number, fault.what, fault.payload)?;
        }
        let panics = self.faults.iter().filter(|fault| fault.what == "panicked").count();
        writeln!(f, "{} events, {panics} panics, {} other faults", self.events, self.faults.len() - panics)?;
        writeln!(f, "by status: {:?}", self.statuses)?;
        write!(f, "by code: {:?}", self.codes)
    }
}
