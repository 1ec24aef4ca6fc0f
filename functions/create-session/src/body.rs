//! Request body of `POST /chatkit/sessions`: opens a session, or requests another ChatKit session
//! for an open one.

use serde::Deserialize;
use shared::{
    domain::sessions::{
        AgentId, Channel, DeviceLabel, Metadata, NewSession, Purpose, Renewal, SessionLabels, SessionTitle,
    },
    error::{Error, FieldError},
    platform::parse::StrictUuid,
};

/// The body as sent, before [`Body::session_request`] checks which fields go together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Body {
    agent_id: Option<AgentId>,
    channel: Option<Channel>,
    metadata: Option<Metadata>,
    session_id: Option<StrictUuid>,
    purpose: Option<Purpose>,
    rejected: Option<bool>,
    title: Option<SessionTitle>,
    device_label: Option<DeviceLabel>,
}

/// A valid request of one of the two kinds.
pub enum SessionRequest {
    New(NewSession),
    /// Another client secret for an open session.
    Renewal(Renewal),
}

impl Body {
    /// Decides which kind of request this is, from the fields that are present.
    ///
    /// # Errors
    /// Returns `invalid_request` with a pointer to the field that is missing or does not fit.
    pub fn into_request(self) -> Result<SessionRequest, Error> {
        // Only a refresh comes from a client that already holds a secret, which ChatKit may reject.
        let refreshes = self.session_id.is_some() && matches!(self.purpose, Some(Purpose::Refresh));
        if self.rejected.is_some() && !refreshes {
            return wrong("/rejected", "is said with a sessionId and the purpose refresh only: leave it out");
        }
        let labels = SessionLabels { title: self.title, device_label: self.device_label };
        if refreshes && !labels.is_empty() {
            let pointer = if labels.title.is_some() { "/title" } else { "/deviceLabel" };
            return wrong(pointer, "is set when a session is opened or resumed only: leave it out");
        }
        match (self.session_id, self.purpose, self.agent_id) {
            (None, None, Some(agent_id)) => Ok(SessionRequest::New(NewSession {
                agent_id,
                channel: self.channel.unwrap_or(Channel::Web),
                metadata: self.metadata.unwrap_or_default(),
                labels,
            })),
            (Some(StrictUuid(session_id)), Some(purpose), agent_id) if self.channel.is_none() => {
                Ok(SessionRequest::Renewal(Renewal {
                    session_id,
                    purpose,
                    rejected: self.rejected.unwrap_or_default(),
                    agent_id,
                    metadata: self.metadata,
                    labels,
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

fn wrong(pointer: &str, detail: &str) -> Result<SessionRequest, Error> {
    Err(Error::invalid(vec![FieldError::at(pointer, detail)]))
}
