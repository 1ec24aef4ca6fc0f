//! Every call and its outcome.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

/// What callers did and were told, in the order in which they were told.
pub struct History {
    since: Instant,
    entries: Mutex<Vec<Entry>>,
}

/// One try of one request. No secret is in it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Which of the requests of this run; its tries have the same.
    pub operation: usize,
    /// From 1.
    pub attempt: u32,
    /// Method and path.
    pub request: String,
    /// The idempotency key, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Milliseconds since the start, of the request and of its outcome.
    pub sent: u64,
    /// See `sent`.
    pub told: u64,
    /// The answer's status; none where none came.
    pub status: Option<u16>,
    /// The problem's code, or the id of what was made.
    pub says: String,
}

impl Default for History {
    fn default() -> Self {
        Self { since: Instant::now(), entries: Mutex::default() }
    }
}

impl History {
    /// Milliseconds since it began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes a try down.
    pub fn note(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// What was written down so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes it into a file, a line each.
    pub fn write(&self, folder: &Path, trial: &str, seed: u64) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{trial}-{seed}.jsonl"));
        let lines = self.entries().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        std::fs::write(&path, lines.join("\n"))?;
        Ok(path)
    }
}
