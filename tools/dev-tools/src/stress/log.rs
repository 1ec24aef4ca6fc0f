//! The log of all requests and responses.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

/// The requests of all clients, in the order of their responses.
pub struct RequestLog {
    since: Instant,
    entries: Mutex<Vec<Entry>>,
}

/// One attempt of one request, without secrets.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Number of the request; all its attempts have the same.
    pub operation: usize,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    pub request: String,
    /// The idempotency key, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Milliseconds from the start of the log to the request.
    pub sent_at: u64,
    /// Milliseconds from the start of the log to the response.
    pub received_at: u64,
    /// The response's status; `None` without a response.
    pub status: Option<u16>,
    /// The error code, or the id of the created resource.
    pub outcome: String,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self { since: Instant::now(), entries: Mutex::default() }
    }
}

impl RequestLog {
    /// Milliseconds since the start of the log.
    pub fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn push(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the log to a file, one JSON object per line.
    pub fn write(&self, folder: &Path, test: &str, seed: u64) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{test}-{seed}.jsonl"));
        let lines = self.entries().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        std::fs::write(&path, lines.join("\n"))?;
        Ok(path)
    }
}
