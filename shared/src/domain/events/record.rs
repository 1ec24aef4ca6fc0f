//! Recording events: all of them in one transaction, or none.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::NewEvent;
use crate::{
    auth::DecisionRules,
    clients::supabase::ServiceClient,
    domain::{RequestContext, idempotency::IdempotencyKey, model::event::RecordedEvent},
    error::{Error, RateLimit},
};

/// What came of a request to record events.
#[derive(Debug, Deserialize)]
pub struct RecordedEvents {
    /// The events as they are on record now, in the order in which they were sent.
    pub events: Vec<RecordedEvent>,
    /// ChatKit sessions of an agent that the session was taken from, which should be cancelled.
    pub live_chatkit_session_ids: Vec<String>,
    /// What the throttle of events says, where one was counted.
    #[serde(default)]
    pub limit: Option<RateLimit>,
}

/// Records events of the session's user. An event that is on record already is answered as it stands there.
///
/// # Errors
/// `session_not_found`, `session_ended`, `event_conflict`, and those of a handover: `agent_changed`, `agent_unavailable`,
/// `agent_forbidden`. Of a decision: `oauth_client_forbidden`, `step_up_required`, and those of [`crate::domain::escalations::decide`].
pub async fn record(
    service_client: &ServiceClient,
    context: &RequestContext,
    rules: &DecisionRules,
    session_id: Uuid,
    events: &[NewEvent],
    idempotency: Option<IdempotencyKey>,
) -> Result<RecordedEvents, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_session_id: Uuid,
        p_actor_type: &'static str,
        p_actor_id: Uuid,
        p_events: &'a [NewEvent],
        #[serde(flatten)]
        idempotency: Option<IdempotencyKey>,
    }
    if events.iter().any(NewEvent::is_decision) {
        rules.check(&context.caller.assurance)?;
    }
    let arguments = context.on_behalf(Arguments {
        p_session_id: session_id,
        p_actor_type: "user",
        p_actor_id: context.caller.user_id,
        p_events: events,
        idempotency,
    });
    Ok(service_client.rpc("record_events", &arguments, context.deadline).await?)
}
