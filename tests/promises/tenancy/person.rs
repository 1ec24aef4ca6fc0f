//! Somebody with a session.

use anyhow::{Context, Result};
use local_stack::supabase::User;
use serde_json::Value;
use uuid::Uuid;

/// Somebody with a session, and the ids that are theirs.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: User,
    pub session: Uuid,
    /// Another session, in which nobody is asked: it can become idle.
    pub quiet: Uuid,
    /// At ChatKit, recorded.
    pub request: Uuid,
    /// Asked for and not answered yet.
    pub pending: Uuid,
    pub upstream: String,
    pub event: Uuid,
    pub escalation: Uuid,
    pub message: Uuid,
    /// What they sent requests under that must not be done twice.
    pub key: Uuid,
}

impl Person {
    /// Somebody with ids that nobody else has, and nothing behind them yet.
    pub fn new(user: User) -> Self {
        let [session, quiet, request, pending, event, escalation, message, key] =
            std::array::from_fn(|_| Uuid::new_v4());
        let upstream = format!("cksess_{}", Uuid::new_v4().simple());
        Self { user, session, quiet, request, pending, upstream, event, escalation, message, key }
    }

    /// Who they are and everything that is theirs, by the names that it has in templates.
    pub fn ids(&self) -> [(&'static str, String); 11] {
        [
            ("{org}", self.user.org_id.to_string()),
            ("{user}", self.user.id.to_string()),
            ("{session}", self.session.to_string()),
            ("{quiet}", self.quiet.to_string()),
            ("{request}", self.request.to_string()),
            ("{pending}", self.pending.to_string()),
            ("{event}", self.event.to_string()),
            ("{escalation}", self.escalation.to_string()),
            ("{message}", self.message.to_string()),
            ("{key}", self.key.to_string()),
            ("{upstream}", self.upstream.clone()),
        ]
    }

    /// Everything that is theirs alone.
    pub fn own(&self) -> impl Iterator<Item = String> {
        self.ids().into_iter().filter(|(name, _)| !["{org}", "{user}"].contains(name)).map(|(_, id)| id)
    }

    /// A template with this person's ids put in. Each `{new}` is a new one, `{hash}` is that of every request, and three
    /// arguments of most functions together say which session of whom it is.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = template
            .replace("{the user's session}", r#""p_user_id": "{user}", {the organisation's session}"#)
            .replace("{the organisation's session}", r#""p_org_id": "{org}", "p_session_id": "{session}""#)
            .replace(
                "{the organisation's quiet session}",
                r#""p_org_id": "{org}", "p_session_id": "{quiet}""#,
            )
            .replace("{hash}", &"0123456789abcdef".repeat(4));
        while filled.contains("{new}") {
            filled = filled.replacen("{new}", &Uuid::new_v4().to_string(), 1);
        }
        self.ids().iter().fold(filled, |filled, (name, id)| filled.replace(name, id))
    }

    /// The same for the arguments of a function.
    pub fn call(&self, template: &str) -> Result<Value> {
        let call = self.fill(template);
        serde_json::from_str(&call).with_context(|| format!("in the call {call}"))
    }
}
