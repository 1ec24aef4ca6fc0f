//! Records the requests of the gateway, with their duration.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};

/// One request that reached the gateway.
#[derive(Clone, Debug)]
pub struct RequestLogEntry {
    pub method: Method,
    /// The path without the query, which may contain personal data.
    pub path: String,
    /// The role of the request. `None` if the gateway rejected it or the path needs no key.
    pub role: Option<String>,
    /// The header `traceparent`.
    pub traceparent: Option<String>,
    pub status: StatusCode,
    /// Time of arrival.
    pub at: SystemTime,
    /// Time from arrival to the head of the response.
    pub took: Duration,
}

/// A log that several tasks write to.
#[derive(Default)]
pub struct RequestLog(Mutex<Vec<RequestLogEntry>>);

impl RequestLog {
    pub fn push(&self, entry: RequestLogEntry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub fn entries(&self) -> Vec<RequestLogEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
