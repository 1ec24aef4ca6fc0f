//! Luck, from a seed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

/// Strikes a share of the times it is asked. All copies draw from one sequence.
#[derive(Clone, Debug)]
pub struct RandomFault {
    share: f64,
    rng: Arc<Mutex<Rng>>,
    struck: Arc<AtomicUsize>,
}

impl RandomFault {
    /// A share between 0 and 1.
    pub fn new(share: f64, seed: u64) -> Self {
        Self { share, rng: Arc::new(Mutex::new(Rng::with_seed(seed))), struck: Arc::default() }
    }

    /// Whether it strikes this time.
    pub fn strikes(&self) -> bool {
        let strikes = self.draw().f64() < self.share;
        self.struck.fetch_add(usize::from(strikes), Ordering::Relaxed);
        strikes
    }

    /// How often it has struck.
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::Relaxed)
    }

    /// One of these, each as likely.
    pub fn pick<T: Copy>(&self, all: &[T]) -> Option<T> {
        self.draw().choice(all).copied()
    }

    fn draw(&self) -> Rng {
        // A generator of its own, so that the lock is short.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }
}
