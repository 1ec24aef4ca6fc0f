//! ChatKit sessions, valid for at most ten minutes.

use std::collections::VecDeque;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::create::NewSession;
use super::response::{ApiError, Outcome};
use super::secret::RedactedString;

const MINUTE: u64 = 60_000;

/// The status of a ChatKit session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// The client secret is valid.
    Active,
    /// It has reached its expiry.
    Expired,
    /// It was cancelled before its expiry.
    Cancelled,
}

/// The state of a session at one moment.
#[derive(Debug, Clone)]
pub struct SessionSnapshot {
    /// `cksess_…`
    pub id: String,
    /// The project of the API key that created it.
    pub project: String,
    /// The caller's opaque id of its user.
    pub user: String,
    /// `wf_…`
    pub workflow: String,
    /// The requested version. OpenAI checks it at the first message.
    pub version: Option<String>,
    pub tracing: bool,
    pub status: SessionStatus,
    /// Unix seconds.
    pub expires_at: u64,
    /// `ek_…`
    pub client_secret: RedactedString,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) config: NewSession,
    pub(super) secret: RedactedString,
    pub(super) expires_at: u64,
    cancelled: bool,
    /// Times of the messages of the last minute, in milliseconds.
    messages: VecDeque<u64>,
}

impl Session {
    pub(super) fn status(&self, now: u64) -> SessionStatus {
        match (self.cancelled, now >= self.expires_at) {
            (true, _) => SessionStatus::Cancelled,
            (false, true) => SessionStatus::Expired,
            (false, false) => SessionStatus::Active,
        }
    }

    /// Counts a message against the session's rate limit.
    pub(super) fn count_message(&mut self, millis: u64) -> Result<(), ApiError> {
        while self.messages.front().is_some_and(|first| first + MINUTE <= millis) {
            self.messages.pop_front();
        }
        if self.messages.len() as i64 >= self.config.per_minute {
            let free = self.messages.front().map_or(millis, |first| first + MINUTE);
            return Err(ApiError::rate_limited(free.saturating_sub(millis).div_ceil(1000)));
        }
        self.messages.push_back(millis);
        Ok(())
    }

    fn json(&self, now: u64) -> Value {
        let config = &self.config;
        json!({
            "id": self.id,
            "object": "chatkit.session",
            "client_secret": self.secret.reveal(),
            "expires_at": self.expires_at,
            "status": match self.status(now) {
                SessionStatus::Active => "active",
                SessionStatus::Expired => "expired",
                SessionStatus::Cancelled => "cancelled",
            },
            "user": config.user,
            "workflow": {
                "id": config.workflow,
                "version": config.version,
                "state_variables": config.state_variables,
                "tracing": {"enabled": config.tracing},
            },
            "rate_limits": {"max_requests_per_1_minute": config.per_minute},
            "max_requests_per_1_minute": config.per_minute,
            "chatkit_configuration": {
                "automatic_thread_titling": {"enabled": config.titling},
                "file_upload": {
                    "enabled": config.uploads.enabled,
                    "max_file_size": config.uploads.max_file_size,
                    "max_files": config.uploads.max_files,
                },
                "history": {"enabled": config.history, "recent_threads": config.recent_threads},
            },
        })
    }
}

/// All sessions, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

impl Sessions {
    pub(super) fn open(&mut self, project: &str, config: NewSession, now: u64) -> Value {
        let session = Session {
            id: format!("cksess_{}", Uuid::new_v4().simple()),
            project: project.to_owned(),
            secret: RedactedString::new(format!("ek_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())),
            expires_at: now + config.lifetime_seconds.unsigned_abs(),
            config,
            cancelled: false,
            messages: VecDeque::new(),
        };
        let answer = session.json(now);
        self.0.push(session);
        answer
    }

    /// Cancels an active session. Any other session is not found, whatever the reason.
    pub(super) fn cancel(&mut self, project: &str, id: &str, now: u64) -> Outcome {
        let mut all = self.0.iter_mut().filter(|s| s.project == project && s.id == id);
        match all.next() {
            Some(session) if session.status(now) == SessionStatus::Active => {
                session.cancelled = true;
                Ok(session.json(now))
            }
            _ => Err(ApiError::not_found("Chatkit Session", id)),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Session> {
        self.0.iter().find(|s| s.id == id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.0.iter_mut().find(|s| s.id == id)
    }

    pub(super) fn with_secret(&self, secret: &str) -> Option<&Session> {
        self.0.iter().find(|s| s.secret.reveal() == secret)
    }

    /// Returns the active session with this client secret.
    pub(super) fn active_by_secret(&mut self, secret: &str, now: u64) -> Result<&mut Session, ApiError> {
        let found = self.0.iter_mut().find(|s| s.secret.reveal() == secret);
        found.filter(|s| s.status(now) == SessionStatus::Active).ok_or_else(|| {
            let message = "The client secret is unknown, expired or cancelled.";
            ApiError::request(StatusCode::UNAUTHORIZED, Some("invalid_client_secret"), message)
        })
    }

    pub(super) fn snapshot(&self, now: u64) -> Vec<SessionSnapshot> {
        let all = self.0.iter().map(|s| SessionSnapshot {
            id: s.id.clone(),
            project: s.project.clone(),
            user: s.config.user.clone(),
            workflow: s.config.workflow.clone(),
            version: s.config.version.clone(),
            tracing: s.config.tracing,
            status: s.status(now),
            expires_at: s.expires_at,
            client_secret: s.secret.clone(),
        });
        all.collect()
    }
}
