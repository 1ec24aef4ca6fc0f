//! Records every request, in order of arrival.

use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

/// One request and its outcome.
#[derive(Clone)]
pub struct RecordedRequest {
    /// In upper case.
    pub method: String,
    pub path: String,
    /// Names in lower case, in the order of the request.
    pub headers: Vec<(String, String)>,
    /// Null if the body is not JSON.
    pub body: Value,
    /// The status of the response. `None` if none was sent.
    pub status: Option<u16>,
    /// The response's `x-request-id`.
    pub request_id: String,
    /// The id of the response object. `None` for an error.
    pub response_id: Option<String>,
    /// Number of events that were sent.
    pub events: usize,
    pub progress: Progress,
    /// Time of arrival.
    pub at: SystemTime,
    /// Time of the response's end.
    pub ended_at: Option<SystemTime>,
}

/// The progress of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Running,
    /// The fake has sent everything, or has ended the connection as ordered.
    Finished,
    /// The client has closed the connection before the end.
    ClientLeft,
}

impl RecordedRequest {
    /// Returns a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for RecordedRequest {
    /// Without headers, which contain an API key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body", &self.body)
            .field("status", &self.status)
            .field("events", &self.events)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
