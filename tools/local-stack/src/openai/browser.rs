//! The browser's side of ChatKit: what ChatKit.js would do with a client secret.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http;

/// Talks to the stand-in as ChatKit.js talks to OpenAI.
#[derive(Debug, Clone)]
pub struct Browser {
    url: String,
}

/// A message that was taken and answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Said {
    /// The thread it stands in.
    pub thread_id: String,
    /// The user's message and the agent's answer.
    pub item_ids: Vec<String>,
}

/// A message that was not taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SayError {
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// OpenAI's error envelope, or what went wrong on the way.
    pub body: Value,
}

impl fmt::Display for SayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the message was refused with {status}: {}", self.body),
            None => write!(f, "the message got no answer: {}", self.body),
        }
    }
}

impl std::error::Error for SayError {}

impl Browser {
    /// For a stand-in whose URLs begin with this root (no `/v1`).
    pub fn new(root: &str) -> Self {
        Self { url: format!("{root}/stand-in/say") }
    }

    /// Says something in a thread of the session's user, or in a new one.
    pub async fn say(
        &self,
        client_secret: &str,
        thread_id: Option<&str>,
        text: &str,
    ) -> Result<Said, SayError> {
        let mut message = json!({"text": text});
        if let Some(thread_id) = thread_id {
            message["thread_id"] = json!(thread_id);
        }
        let request = http::client().post(&self.url).bearer_auth(client_secret).json(&message);
        let lost =
            |e: http_client::Error| SayError { status: None, body: json!(e.without_url().to_string()) };
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let body: Value = response.json().await.map_err(lost)?;
        let refused = |body| SayError { status: Some(status.as_u16()), body };
        if !status.is_success() {
            return Err(refused(body));
        }
        serde_json::from_value(body.clone()).map_err(|_| refused(body))
    }
}
