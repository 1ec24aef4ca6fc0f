//! The stand-in's time, which tests can move forward.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's clock and an offset.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) offset: Duration,
}

impl Clock {
    pub(super) fn now(self) -> SystemTime {
        SystemTime::now() + self.offset
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whole seconds since 1970, the unit of every time in OpenAI's answers.
    pub(super) fn seconds(self) -> u64 {
        self.millis() / 1000
    }
}
