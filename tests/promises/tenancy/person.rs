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
    /// At ChatKit, recorded.
    pub request: Uuid,
    /// Asked for and not answered yet.
    pub pending: Uuid,
    pub upstream: String,
    pub event: Uuid,
    pub escalation: Uuid,
    pub message: Uuid,
}

impl Person {
    /// Somebody with ids that nobody else has, and nothing behind them yet.
    pub fn new(user: User) -> Self {
        let [session, request, pending, event, escalation, message] = std::array::from_fn(|_| Uuid::new_v4());
        let upstream = format!("cksess_{}", Uuid::new_v4().simple());
        Self { user, session, request, pending, upstream, event, escalation, message }
    }

    /// Everything that is theirs alone, by the names that it has in templates.
    pub fn ids(&self) -> [(&'static str, String); 9] {
        [
            ("{org}", self.user.org_id.to_string()),
            ("{user}", self.user.id.to_string()),
            ("{session}", self.session.to_string()),
            ("{request}", self.request.to_string()),
            ("{pending}", self.pending.to_string()),
            ("{event}", self.event.to_string()),
            ("{escalation}", self.escalation.to_string()),
            ("{message}", self.message.to_string()),
            ("{upstream}", self.upstream.clone()),
        ]
    }

    /// A template with this person's ids put in. `{new}` is a new one, and three arguments of most functions together
    /// say which session of whom it is.
    pub fn fill(&self, template: &str) -> String {
        let filled = template
            .replace("{the user's session}", r#""p_user_id": "{user}", {the organisation's session}"#)
            .replace("{the organisation's session}", r#""p_org_id": "{org}", "p_session_id": "{session}""#)
            .replace("{new}", &Uuid::new_v4().to_string());
        self.ids().iter().fold(filled, |filled, (name, id)| filled.replace(name, id))
    }

    /// The same for the arguments of a function.
    pub fn call(&self, template: &str) -> Result<Value> {
        let call = self.fill(template);
        serde_json::from_str(&call).with_context(|| format!("in the call {call}"))
    }
}
