//! What a session consists of. Each type has one way in, which checks it.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::platform::{parse::Timestamp, string_enum::words};

/// A session, as the table keeps it and the API shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Session {
    /// Ours, a UUID of version 7.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Whether it goes on.
    pub status: SessionStatus,
    /// The agent that it is with now.
    pub agent_id: String,
    /// How the user talks.
    pub channel: Channel,
    /// What the frontend attached when it opened the session.
    pub metadata: Map<String, Value>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// The last event, message or resume.
    pub last_activity_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
}

words! {
    /// Whether a session goes on. An ended one never does again.
    pub enum SessionStatus {
        /// It goes on.
        Active = "active",
        /// It is over.
        Ended = "ended",
    }
}

words! {
    /// Why a session ended.
    pub enum EndReason {
        /// Its user cancelled it.
        Cancelled = "cancelled",
        /// It was idle for too long.
        Expired = "expired",
        /// ChatKit could not be opened for it.
        Failed = "failed",
    }
}

words! {
    /// How the user talks.
    pub enum Channel {
        /// In a web page.
        Web = "web",
        /// By voice.
        Voice = "voice",
    }
}

words! {
    /// Why a ChatKit session is asked for a session that exists.
    pub enum Purpose {
        /// A person came back, on this device or another.
        Resume = "resume",
        /// ChatKit.js asks by itself; no sign of a person.
        Refresh = "refresh",
    }
}

/// An agent's id: lower-case letters, digits and underscores, beginning with a letter, 63 at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AgentId(String);

impl AgentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        let begins = id.starts_with(|c: char| c.is_ascii_lowercase());
        let goes_on = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if begins && goes_on && id.len() <= 63 {
            return Ok(Self(id));
        }
        Err(D::Error::custom(
            "an agent's id is 1 to 63 lower-case letters, digits and underscores, beginning with a letter",
        ))
    }
}

/// What the frontend attaches to a session: an object of at most 8 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

/// The most bytes that metadata has as compact JSON.
const MAX_METADATA: usize = 8 * 1024;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let metadata = Map::deserialize(deserializer)?;
        let size = serde_json::to_vec(&metadata).map_err(D::Error::custom)?.len();
        if size <= MAX_METADATA {
            return Ok(Self(metadata));
        }
        Err(D::Error::custom(format!("metadata has {size} bytes; at most {MAX_METADATA} are kept")))
    }
}
