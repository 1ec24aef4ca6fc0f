//! The fake's clock, which tests can move forward.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system clock plus an offset.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) offset: Duration,
}

impl Clock {
    pub(super) fn now(self) -> SystemTime {
        SystemTime::now() + self.offset
    }

    /// Unix milliseconds.
    pub(super) fn millis(self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Unix seconds, the unit of every time in OpenAI's responses.
    pub(super) fn seconds(self) -> u64 {
        self.millis() / 1000
    }
}
