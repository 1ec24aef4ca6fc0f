//! Rate limits: the state that the database reports and the response headers for callers.
//! Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>

use std::time::Duration;

use serde::Deserialize;

/// State of a limit per minute or per day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// Quota of one window.
    pub limit: u32,
    pub window_seconds: u32,
    /// Quota that is left in the current window.
    pub remaining: u32,
    /// Seconds until the whole quota is available again. In a rejection: seconds until this request
    /// would be accepted.
    #[serde(alias = "retry_after_seconds")]
    pub reset_seconds: u32,
}

impl RateLimit {
    /// Parses the error detail with which the database rejects a request.
    pub fn from_error_detail(detail: &str) -> Option<Self> {
        serde_json::from_str(detail).ok()
    }

    /// Returns how long a rejected caller must wait, at least one second.
    pub fn retry_after(self) -> Duration {
        Duration::from_secs(self.reset_seconds.max(1).into())
    }

    /// Formats the value of the `RateLimit-Policy` header.
    pub fn policy_header(self) -> String {
        format!("\"{}\";q={};w={}", self.name(), self.limit, self.window_seconds)
    }

    /// Formats the value of the `RateLimit` header.
    pub fn state_header(self) -> String {
        format!("\"{}\";r={};t={}", self.name(), self.remaining, self.reset_seconds)
    }

    fn name(self) -> &'static str {
        if self.window_seconds > 60 { "day" } else { "minute" }
    }
}
