//! Recording events: all events of a request in one transaction, or none.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::NewEvent;
use crate::{
    auth::DecisionRules,
    clients::supabase::{Rpc, ServiceClient},
    domain::{RequestContext, idempotency::IdempotencyKey, model::event::RecordedEvent},
    error::{Error, RateLimit},
};

#[derive(Debug, Deserialize)]
pub struct RecordedEvents {
    /// The recorded events, in the order of the request.
    pub events: Vec<RecordedEvent>,
    /// ChatKit sessions to cancel: they belong to an agent that a handover replaced.
    pub live_chatkit_session_ids: Vec<String>,
    /// State of the rate limit of events, if it was charged.
    #[serde(default)]
    pub limit: Option<RateLimit>,
}

#[derive(Serialize)]
struct RecordEventsCall<'a> {
    p_session_id: Uuid,
    p_actor_type: &'static str,
    p_actor_id: Uuid,
    p_events: &'a [NewEvent],
    #[serde(flatten)]
    idempotency: Option<IdempotencyKey>,
}

impl Rpc for RecordEventsCall<'_> {
    const NAME: &'static str = "record_events";
    type Output = RecordedEvents;
}

/// Records events of the session's user. Returns the stored event if one with the same id is
/// already recorded.
///
/// # Errors
/// - Any event: `session_not_found`, `session_ended`, `event_conflict`.
/// - A handover: `agent_changed`, `agent_unavailable`, `agent_forbidden`.
/// - A decision: `oauth_client_forbidden`, `step_up_required`, and the errors of
///   [`crate::domain::escalations::decide`].
pub async fn record(
    service_client: &ServiceClient,
    context: &RequestContext,
    rules: &DecisionRules,
    session_id: Uuid,
    events: &[NewEvent],
    idempotency: Option<IdempotencyKey>,
) -> Result<RecordedEvents, Error> {
    if events.iter().any(NewEvent::is_decision) {
        rules.check(&context.caller.assurance)?;
    }
    let call = context.on_behalf(RecordEventsCall {
        p_session_id: session_id,
        p_actor_type: "user",
        p_actor_id: context.caller.user_id,
        p_events: events,
        idempotency,
    });
    Ok(service_client.rpc(&call, context.deadline).await?)
}
