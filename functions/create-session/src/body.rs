//! The body of `POST /chatkit/sessions`: a new session, or another ChatKit session for one that is open.

use serde::Deserialize;
use shared::{
    domain::sessions::{AgentId, Channel, Metadata, NewSession, Purpose, Renewal},
    error::{Error, FieldError},
    platform::parse::StrictUuid,
};

/// The body as it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Body {
    agent_id: Option<AgentId>,
    channel: Option<Channel>,
    metadata: Option<Metadata>,
    session_id: Option<StrictUuid>,
    purpose: Option<Purpose>,
    rejected: Option<bool>,
}

/// What the body asks for.
pub enum Wish {
    /// A session.
    New(NewSession),
    /// A client secret for a session that is open.
    Renewal(Renewal),
}

impl Body {
    /// Sorts out what is asked for.
    pub fn wish(self) -> Result<Wish, Error> {
        // Of no other wish is there a secret at hand.
        let refreshes = self.session_id.is_some() && matches!(self.purpose, Some(Purpose::Refresh));
        if self.rejected.is_some() && !refreshes {
            return wrong("/rejected", "is said with a sessionId and the purpose refresh only: leave it out");
        }
        match (self.session_id, self.purpose, self.agent_id) {
            (None, None, Some(agent_id)) => Ok(Wish::New(NewSession {
                agent_id,
                channel: self.channel.unwrap_or(Channel::Web),
                metadata: self.metadata.unwrap_or_default(),
            })),
            (Some(StrictUuid(session_id)), Some(purpose), agent_id) if self.channel.is_none() => {
                Ok(Wish::Renewal(Renewal {
                    session_id,
                    purpose,
                    rejected: self.rejected.unwrap_or_default(),
                    agent_id,
                    metadata: self.metadata,
                }))
            }
            (None, None, None) => {
                wrong("/agentId", "is needed to open a session: one of GET /chatkit/agents")
            }
            (None, Some(_), _) => {
                wrong("/sessionId", "is needed with a purpose: the session to resume or refresh")
            }
            (Some(_), None, _) => wrong("/purpose", "is needed with a sessionId: resume or refresh"),
            (Some(_), Some(_), _) => wrong("/channel", "is settled when a session is opened: leave it out"),
        }
    }
}

fn wrong(pointer: &str, detail: &str) -> Result<Wish, Error> {
    Err(Error::invalid(vec![FieldError::at(pointer, detail)]))
}
