//! Throttles, as the database keeps them and as callers are told.
//! Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>

use std::time::Duration;

use serde::Deserialize;

/// How much of a minute's or a day's allowance is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// What the window allows.
    pub limit: u32,
    /// How long the window is.
    pub window_seconds: u32,
    /// What is left of it.
    pub remaining: u32,
    /// In how many seconds all of it is there again; while refused, in how many this request would be taken.
    #[serde(alias = "retry_after_seconds")]
    pub reset_seconds: u32,
}

impl RateLimit {
    /// Reads the detail of a refusal.
    pub fn from_error_detail(detail: &str) -> Option<Self> {
        serde_json::from_str(detail).ok()
    }

    /// How long a refused caller has to wait.
    pub fn retry_after(self) -> Duration {
        Duration::from_secs(self.reset_seconds.max(1).into())
    }

    /// The value of `RateLimit-Policy`.
    pub fn policy_header(self) -> String {
        format!("\"{}\";q={};w={}", self.name(), self.limit, self.window_seconds)
    }

    /// The value of `RateLimit`.
    pub fn state_header(self) -> String {
        format!("\"{}\";r={};t={}", self.name(), self.remaining, self.reset_seconds)
    }

    fn name(self) -> &'static str {
        if self.window_seconds > 60 { "day" } else { "minute" }
    }
}
