//! Deadlines of requests and scheduled runs.

use std::time::Duration;

use tokio::time::Instant;

/// Time until which a response is useful.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Creates a deadline that is `time` from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns the time that is left, which is zero after the deadline.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Returns whether there is enough time to start another batch.
    pub fn allows_another_batch(self) -> bool {
        self.remaining() > Duration::from_secs(10)
    }

    /// Returns an earlier deadline that leaves `reserve` for the work that follows.
    #[must_use]
    pub fn minus(self, reserve: Duration) -> Self {
        Self(self.0.checked_sub(reserve).unwrap_or_else(Instant::now))
    }

    /// Returns this deadline, or one `time` from now if that is earlier.
    #[must_use]
    pub fn capped(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// Returns the time that is left, but at most `time`.
    pub fn timeout_up_to(self, time: Duration) -> Duration {
        self.remaining().min(time)
    }
}
