//! Requests and responses of the stress tests.

use std::time::Duration;

use http_client::{Method, RequestBuilder};
use serde_json::Value;

/// A request that can be sent several times.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub key: Option<String>,
    pub body: Option<Value>,
}

/// A response, or none.
#[derive(Clone, Debug)]
pub struct TestResponse {
    /// `None` if the connection broke or the request timed out.
    pub status: Option<u16>,
    /// The value of `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The JSON body, or null.
    pub body: Value,
}

impl TestResponse {
    pub async fn from_request(request: RequestBuilder) -> Self {
        let no_response = Self { status: None, retry_after: None, body: Value::Null };
        let Ok(response) = request.send().await else { return no_response };
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let Ok(text) = response.text().await else { return no_response };
        Self { status: Some(status), retry_after, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// Returns whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    pub fn code(&self) -> Option<&str> {
        self.body["code"].as_str()
    }

    /// Returns the delay before a retry, or `None` if a retry is useless.
    pub fn retry_delay(&self) -> Option<Duration> {
        let soon = Duration::from_millis(50 + fastrand::u64(..100));
        match self.status {
            None | Some(429 | 500..) => Some(self.retry_after.unwrap_or(soon)),
            Some(409) if self.code() == Some("still_running") => Some(self.retry_after.unwrap_or(soon)),
            Some(_) => None,
        }
    }

    /// The client secret, if any.
    pub fn secret(&self) -> Option<&str> {
        self.body["chatkit"]["clientSecret"].as_str()
    }

    /// The error code, or the id of the created resource.
    pub fn code_or_id(&self) -> String {
        let id = || self.body["id"].as_str();
        self.code().or_else(id).unwrap_or_default().to_owned()
    }
}
