//! What is asked, and what is answered.

use std::time::Duration;

use http_client::{Method, RequestBuilder};
use serde_json::Value;

/// A request, to be sent as often as it takes.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub key: Option<String>,
    pub body: Option<Value>,
}

/// An answer, or that there was none.
#[derive(Clone, Debug)]
pub struct TestResponse {
    /// None where the connection broke or the time was over.
    pub status: Option<u16>,
    /// What it asks to wait.
    pub retry_after: Option<Duration>,
    /// Null where there is none.
    pub body: Value,
}

impl TestResponse {
    /// Sends a request and takes what comes.
    pub async fn from_request(request: RequestBuilder) -> Self {
        let lost = Self { status: None, retry_after: None, body: Value::Null };
        let Ok(response) = request.send().await else { return lost };
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let Ok(text) = response.text().await else { return lost };
        Self { status: Some(status), retry_after, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The problem's code.
    pub fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }

    /// How long to wait before the same request is sent again; none where that would be of no use.
    pub fn retry_delay(&self) -> Option<Duration> {
        let soon = Duration::from_millis(50 + fastrand::u64(..100));
        match self.status {
            None | Some(429 | 500..) => Some(self.retry_after.unwrap_or(soon)),
            Some(409) if self.code() == Some("still_running") => Some(self.retry_after.unwrap_or(soon)),
            Some(_) => None,
        }
    }

    /// Its secret, where it hands one out.
    pub fn secret(&self) -> Option<&str> {
        self.body["chatkit"]["clientSecret"].as_str()
    }

    /// In a word: the code of a problem, or the id of what was made.
    pub fn code_or_id(&self) -> String {
        let id = || self.body["id"].as_str();
        self.code().or_else(id).unwrap_or_default().to_owned()
    }
}
