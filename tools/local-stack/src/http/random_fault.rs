//! Random faults from a seed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

/// Occurs at random with a given probability. Clones draw from one sequence.
#[derive(Clone, Debug)]
pub struct RandomFault {
    share: f64,
    rng: Arc<Mutex<Rng>>,
    occurrences: Arc<AtomicUsize>,
}

impl RandomFault {
    /// `share` is a probability between 0 and 1.
    pub fn new(share: f64, seed: u64) -> Self {
        Self { share, rng: Arc::new(Mutex::new(Rng::with_seed(seed))), occurrences: Arc::default() }
    }

    /// Returns whether the fault occurs this time.
    pub fn occurs(&self) -> bool {
        let occurs = self.draw().f64() < self.share;
        self.occurrences.fetch_add(usize::from(occurs), Ordering::Relaxed);
        occurs
    }

    /// Number of times that the fault has occurred.
    pub fn occurrences(&self) -> usize {
        self.occurrences.load(Ordering::Relaxed)
    }

    pub fn pick<T: Copy>(&self, all: &[T]) -> Option<T> {
        self.draw().choice(all).copied()
    }

    fn draw(&self) -> Rng {
        // Forked, so that the lock is held briefly.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }
}
