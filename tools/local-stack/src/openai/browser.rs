//! The browser's side of ChatKit: posts messages as ChatKit.js does with a client secret.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http;

/// A client of [`FakeOpenAi`](super::FakeOpenAi) that acts as ChatKit.js does.
#[derive(Debug, Clone)]
pub struct Browser {
    url: String,
}

/// The result of a posted message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PostedMessage {
    /// The thread that contains the message.
    pub thread_id: String,
    /// The ids of the user's message and of the agent's reply.
    pub item_ids: Vec<String>,
}

/// A message that was rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct PostMessageError {
    /// The HTTP status; `None` without a response.
    pub status: Option<u16>,
    /// OpenAI's error envelope, or the transport error.
    pub body: Value,
}

impl fmt::Display for PostMessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the message was rejected with {status}: {}", self.body),
            None => write!(f, "the message got no response: {}", self.body),
        }
    }
}

impl std::error::Error for PostMessageError {}

impl Browser {
    /// `root` is the base URL without `/v1`.
    pub fn new(root: &str) -> Self {
        Self { url: format!("{root}/stand-in/say") }
    }

    /// Posts a message to a thread of the session's user, or to a new one.
    pub async fn post_message(
        &self,
        client_secret: &str,
        thread_id: Option<&str>,
        text: &str,
    ) -> Result<PostedMessage, PostMessageError> {
        let mut message = json!({"text": text});
        if let Some(thread_id) = thread_id {
            message["thread_id"] = json!(thread_id);
        }
        let request = http::client().post(&self.url).bearer_auth(client_secret).json(&message);
        let transport_error = |e: http_client::Error| PostMessageError {
            status: None,
            body: json!(e.without_url().to_string()),
        };
        let response = request.send().await.map_err(transport_error)?;
        let status = response.status();
        let body: Value = response.json().await.map_err(transport_error)?;
        let rejected = |body| PostMessageError { status: Some(status.as_u16()), body };
        if !status.is_success() {
            return Err(rejected(body));
        }
        serde_json::from_value(body.clone()).map_err(|_| rejected(body))
    }
}
