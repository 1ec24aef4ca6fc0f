//! Records the requests and responses of the clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A question, by its text, which no other question has.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Whether its requests carry an idempotency key.
    pub is_keyed: bool,
    /// Number of requests.
    pub sent: usize,
    /// Whether a stream answered a request.
    pub is_answered: bool,
}

/// The record of all clients.
#[derive(Default)]
pub struct Ledger {
    asked: Mutex<HashMap<String, Asked>>,
    /// Items that were received as done.
    done: Mutex<Vec<Value>>,
    violations: Mutex<Vec<String>>,
    /// Threads that several pages of a user write to, by the user's number.
    shared_threads: Mutex<HashMap<usize, Vec<String>>>,
    pub counts: Counts,
}

/// Counters of the events of a run, for its report.
#[derive(Default)]
pub struct Counts {
    pub turns: AtomicUsize,
    pub repeats: AtomicUsize,
    pub concurrent_repeats: AtomicUsize,
    pub retries: AtomicUsize,
    pub stops: AtomicUsize,
    pub reloads: AtomicUsize,
    pub left: AtomicUsize,
    pub cut: AtomicUsize,
    pub refused: AtomicUsize,
    pub errors: AtomicUsize,
    pub kills: AtomicUsize,
    pub expired_leases: AtomicUsize,
    /// Steps of reasoning that a client received, and that were never stored.
    pub lost_workflows: AtomicUsize,
    pub compared: AtomicUsize,
}

/// Increments a counter.
pub fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub fn read(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Records that a question is sent.
    pub fn ask(&self, text: &str, is_keyed: bool) {
        let mut asked = lock(&self.asked);
        let asked = asked.entry(text.to_owned()).or_default();
        asked.is_keyed = is_keyed;
        asked.sent += 1;
    }

    /// Records that a stream answers a question.
    pub fn answered(&self, text: &str) {
        if let Some(asked) = lock(&self.asked).get_mut(text) {
            asked.is_answered = true;
        }
    }

    /// Records the items that a stream sent as done.
    pub fn received(&self, events: &[Value]) {
        let done = events.iter().filter(|event| event["type"] == "thread.item.done");
        lock(&self.done).extend(done.map(|event| event["item"].clone()));
    }

    pub fn violation(&self, text: String) {
        lock(&self.violations).push(text);
    }

    pub fn share_thread(&self, person: usize, thread_id: &str) {
        lock(&self.shared_threads).entry(person).or_default().push(thread_id.to_owned());
    }

    /// Returns a thread that several pages of a user write to.
    pub fn shared_thread(&self, person: usize, rng: &mut fastrand::Rng) -> Option<String> {
        let threads = lock(&self.shared_threads);
        rng.choice(threads.get(&person)?).cloned()
    }

    pub fn asked(&self) -> HashMap<String, Asked> {
        lock(&self.asked).clone()
    }

    pub fn done(&self) -> Vec<Value> {
        lock(&self.done).clone()
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }
}
