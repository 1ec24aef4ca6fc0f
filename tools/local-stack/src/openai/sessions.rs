//! ChatKit sessions as OpenAI keeps them: tokens of ten minutes at most.

use std::collections::VecDeque;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::create::NewSession;
use super::response::{Outcome, Refusal};
use super::secret::Hidden;

/// A minute, in milliseconds.
const MINUTE: u64 = 60_000;

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// Its client secret works.
    Active,
    /// Its time is over.
    Expired,
    /// It was cancelled before its time was over.
    Cancelled,
}

/// A session as it stands at the moment of asking.
#[derive(Debug, Clone)]
pub struct SessionSnapshot {
    /// `cksess_…`
    pub id: String,
    /// The project of the key it was opened with.
    pub project: String,
    /// The caller's opaque name for its user.
    pub user: String,
    /// `wf_…`
    pub workflow: String,
    /// The version that was asked for, looked at by nobody until the first message.
    pub version: Option<String>,
    /// Whether OpenAI may trace the conversation.
    pub tracing: bool,
    /// Its state now.
    pub status: SessionStatus,
    /// Unix seconds.
    pub expires_at: u64,
    /// `ek_…`
    pub client_secret: Hidden,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) wanted: NewSession,
    pub(super) secret: Hidden,
    pub(super) expires_at: u64,
    cancelled: bool,
    /// When its last messages came, in milliseconds: no more than one minute of them.
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

    /// Counts a message against the session's limit.
    pub(super) fn count_message(&mut self, millis: u64) -> Result<(), Refusal> {
        while self.messages.front().is_some_and(|first| first + MINUTE <= millis) {
            self.messages.pop_front();
        }
        if self.messages.len() as i64 >= self.wanted.per_minute {
            let free = self.messages.front().map_or(millis, |first| first + MINUTE);
            return Err(Refusal::rate_limited(free.saturating_sub(millis).div_ceil(1000)));
        }
        self.messages.push_back(millis);
        Ok(())
    }

    fn json(&self, now: u64) -> Value {
        let wanted = &self.wanted;
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
            "user": wanted.user,
            "workflow": {
                "id": wanted.workflow,
                "version": wanted.version,
                "state_variables": wanted.state_variables,
                "tracing": {"enabled": wanted.tracing},
            },
            "rate_limits": {"max_requests_per_1_minute": wanted.per_minute},
            "max_requests_per_1_minute": wanted.per_minute,
            "chatkit_configuration": {
                "automatic_thread_titling": {"enabled": wanted.titling},
                "file_upload": {
                    "enabled": wanted.uploads.enabled,
                    "max_file_size": wanted.uploads.max_file_size,
                    "max_files": wanted.uploads.max_files,
                },
                "history": {"enabled": wanted.history, "recent_threads": wanted.recent_threads},
            },
        })
    }
}

/// All sessions, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

impl Sessions {
    pub(super) fn open(&mut self, project: &str, wanted: NewSession, now: u64) -> Value {
        let session = Session {
            id: format!("cksess_{}", Uuid::new_v4().simple()),
            project: project.to_owned(),
            secret: Hidden::new(format!("ek_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())),
            expires_at: now + wanted.life.unsigned_abs(),
            wanted,
            cancelled: false,
            messages: VecDeque::new(),
        };
        let answer = session.json(now);
        self.0.push(session);
        answer
    }

    /// Cancels a live session; one that is gone for whatever reason is not found.
    pub(super) fn cancel(&mut self, project: &str, id: &str, now: u64) -> Outcome {
        let mut all = self.0.iter_mut().filter(|s| s.project == project && s.id == id);
        match all.next() {
            Some(session) if session.status(now) == SessionStatus::Active => {
                session.cancelled = true;
                Ok(session.json(now))
            }
            _ => Err(Refusal::not_found("Chatkit Session", id)),
        }
    }

    pub(super) fn any(&self, id: &str) -> Option<&Session> {
        self.0.iter().find(|s| s.id == id)
    }

    pub(super) fn any_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.0.iter_mut().find(|s| s.id == id)
    }

    pub(super) fn with_secret(&self, secret: &str) -> Option<&Session> {
        self.0.iter().find(|s| s.secret.reveal() == secret)
    }

    /// The session that a browser's secret opens.
    pub(super) fn alive(&mut self, secret: &str, now: u64) -> Result<&mut Session, Refusal> {
        let found = self.0.iter_mut().find(|s| s.secret.reveal() == secret);
        found.filter(|s| s.status(now) == SessionStatus::Active).ok_or_else(|| {
            let message = "The client secret is unknown, expired or cancelled.";
            Refusal::request(StatusCode::UNAUTHORIZED, Some("invalid_client_secret"), message)
        })
    }

    pub(super) fn snapshot(&self, now: u64) -> Vec<SessionSnapshot> {
        let all = self.0.iter().map(|s| SessionSnapshot {
            id: s.id.clone(),
            project: s.project.clone(),
            user: s.wanted.user.clone(),
            workflow: s.wanted.workflow.clone(),
            version: s.wanted.version.clone(),
            tracing: s.wanted.tracing,
            status: s.status(now),
            expires_at: s.expires_at,
            client_secret: s.secret.clone(),
        });
        all.collect()
    }
}
