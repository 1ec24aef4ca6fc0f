//! Until when an answer is of use.

use std::time::Duration;

use tokio::time::Instant;

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that far from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// How much time is left; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether there is time to begin with another batch.
    pub fn allows_another_batch(self) -> bool {
        self.remaining() > Duration::from_secs(10)
    }

    /// An earlier deadline, that leaves `reserve` for what has to be done afterwards.
    #[must_use]
    pub fn minus(self, reserve: Duration) -> Self {
        Self(self.0.checked_sub(reserve).unwrap_or_else(Instant::now))
    }

    /// This deadline, or one that far from now, whichever comes first.
    #[must_use]
    pub fn capped(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// What is left, but at most `time`.
    pub fn timeout_up_to(self, time: Duration) -> Duration {
        self.remaining().min(time)
    }
}
