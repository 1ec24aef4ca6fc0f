//! What was asked of the gateway, in order, and how long it took.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};

/// One request that reached the gateway.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its method.
    pub method: Method,
    /// Its path, without the query: filters may name people.
    pub path: String,
    /// As whom it was answered; `None` where the gateway refused it or the path needs no key.
    pub role: Option<String>,
    /// Its header `traceparent`.
    pub traceparent: Option<String>,
    /// The answer's status.
    pub status: StatusCode,
    /// When it arrived.
    pub at: SystemTime,
    /// From its arrival to the head of its answer.
    pub took: Duration,
}

/// A list that many write to.
#[derive(Default)]
pub struct Ledger(Mutex<Vec<Entry>>);

impl Ledger {
    /// Adds one.
    pub fn note(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// All of them so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
