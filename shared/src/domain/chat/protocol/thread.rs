use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ThreadItem;
use crate::platform::parse::Timestamp;

/// A thread as clients receive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub created_at: Timestamp,
    pub status: ThreadStatus,
    /// Hosts of images that the client may show in addition to its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_image_domains: Option<Vec<String>>,
    /// Always empty: the thread's metadata stays on the server.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Empty except in the answer to `threads.get_by_id`.
    #[serde(default)]
    pub items: ChatPage<ThreadItem>,
}

/// Whether a thread accepts messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThreadStatus {
    Active,
    Locked {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Closed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatPage<T> {
    pub data: Vec<T>,
    pub has_more: bool,
    /// Id of the last row; only if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl<T> Default for ChatPage<T> {
    fn default() -> Self {
        Self { data: Vec::new(), has_more: false, after: None }
    }
}
