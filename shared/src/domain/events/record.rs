//! Recording events: all of them in one transaction, or none.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::NewEvent;
use crate::{
    auth::DecisionRules,
    clients::supabase::Writer,
    domain::{Call, idempotency::Idempotency, model::event::RecordedEvent},
    error::{Error, Limit},
};

/// What came of a request to record events.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    /// The events as they are on record now, in the order in which they were sent.
    pub events: Vec<RecordedEvent>,
    /// ChatKit sessions of an agent that the session was taken from, which should be cancelled.
    pub live_chatkit_session_ids: Vec<String>,
    /// What the throttle of events says, where one was counted.
    #[serde(default)]
    pub limit: Option<Limit>,
}

/// Records events of the session's user. An event that is on record already is answered as it stands there.
///
/// # Errors
/// `session_not_found`, `session_ended`, `event_conflict`, and those of a handover: `agent_changed`, `agent_unavailable`,
/// `agent_forbidden`. Of a decision: `oauth_client_forbidden`, `step_up_required`, and those of [`crate::domain::escalations::decide`].
pub async fn record(
    writer: &Writer,
    call: &Call,
    rules: &DecisionRules,
    session_id: Uuid,
    events: &[NewEvent],
    idempotency: Option<Idempotency>,
) -> Result<Recorded, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_session_id: Uuid,
        p_actor_type: &'static str,
        p_actor_id: Uuid,
        p_events: &'a [NewEvent],
        #[serde(flatten)]
        idempotency: Option<Idempotency>,
    }
    if events.iter().any(NewEvent::decides) {
        rules.check(&call.caller.assurance)?;
    }
    let arguments = call.on_behalf(Arguments {
        p_session_id: session_id,
        p_actor_type: "user",
        p_actor_id: call.caller.user_id,
        p_events: events,
        idempotency,
    });
    Ok(writer.call("record_events", &arguments, call.deadline).await?)
}
