//! Opening a session, and asking for another ChatKit session of one that is open.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AgentId, Channel, Metadata, Purpose, Session};
use crate::{
    clients::{openai::CreateSession, supabase::ServiceClient},
    domain::{RequestContext, idempotency::LeasedKey},
    error::{Error, RateLimit},
    platform::{parse::Timestamp, sealing::Sealed, telemetry},
};

/// A session to be opened.
#[derive(Debug)]
pub struct NewSession {
    /// With which agent.
    pub agent_id: AgentId,
    /// How the user talks.
    pub channel: Channel,
    /// What the frontend attaches.
    pub metadata: Metadata,
}

/// Another ChatKit session for a session that is open.
#[derive(Debug)]
pub struct Renewal {
    /// Which session.
    pub session_id: Uuid,
    /// Why.
    pub purpose: Purpose,
    /// Whether the secret at hand does not work any more.
    pub rejected: bool,
    /// The agent that the caller believes it to be with.
    pub agent_id: Option<AgentId>,
    /// The metadata that the caller believes it to have.
    pub metadata: Option<Metadata>,
}

/// A session on record, with what ChatKit has to be asked.
#[derive(Debug, Deserialize)]
pub struct OpenedSession {
    /// The session.
    pub session: Session,
    /// What to open a ChatKit session with.
    pub upstream: CreateSession,
    /// Our id of the request to ChatKit that is now on record; none where ChatKit is not asked.
    #[serde(skip)]
    pub request_id: Option<Uuid>,
    /// Whether the session was opened by an earlier request with the same idempotency key.
    #[serde(default)]
    pub replayed: bool,
    /// What the throttle of secrets says, where one was counted.
    #[serde(default)]
    pub limit: Option<RateLimit>,
    /// A ChatKit session that has enough of its life left, so that none needs to be asked for.
    #[serde(default)]
    pub live: Option<LiveSecret>,
}

/// A ChatKit session on record, with its secret sealed.
#[derive(Debug, Deserialize)]
pub struct LiveSecret {
    /// ChatKit's id.
    pub chatkit_session_id: String,
    /// The sealed secret.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// When it runs out.
    pub expires_at: Timestamp,
}

/// A secret is handed out again only if the browser can use it for so long.
const MIN_LIFE_SECONDS: u32 = 120;

/// Longer than any secret lives: another is asked for, whatever is at hand.
const FORCE_NEW_SECRET: u32 = 3600;

/// Records a session, and that ChatKit is about to be asked for it (`with_chatkit`).
///
/// # Errors
/// Of the codes of `open_session`: not a member, no such agent, not open to the role.
pub async fn open(
    service_client: &ServiceClient,
    context: &RequestContext,
    new: &NewSession,
    with_chatkit: bool,
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_session_id: Uuid,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_chatkit_request_id: Option<Uuid>,
        p_agent_id: &'a AgentId,
        p_channel: Channel,
        p_metadata: &'a Metadata,
        p_min_life_seconds: u32,
        #[serde(flatten)]
        idempotency: Option<LeasedKey>,
    }
    let request_id = with_chatkit.then(Uuid::now_v7);
    let arguments = context.on_behalf(Arguments {
        p_session_id: Uuid::now_v7(),
        p_chatkit_request_id: request_id,
        p_agent_id: &new.agent_id,
        p_channel: new.channel,
        p_metadata: &new.metadata,
        p_min_life_seconds: MIN_LIFE_SECONDS,
        idempotency,
    });
    let opened: OpenedSession = service_client.rpc("open_session", &arguments, context.deadline).await?;
    telemetry::record_session_id(opened.session.id);
    Ok(OpenedSession { request_id, ..opened })
}

/// Finds a live ChatKit session to hand out again, or records that ChatKit is about to be asked for another.
///
/// # Errors
/// Of the codes of `renew_chatkit_session`: not found, ended, another agent or other metadata; `still_running` where ChatKit is
/// being asked already.
pub async fn renew(
    service_client: &ServiceClient,
    context: &RequestContext,
    renewal: &Renewal,
    with_chatkit: bool,
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    renew_with(service_client, context, renewal, with_chatkit, MIN_LIFE_SECONDS, idempotency).await
}

/// The same for a session whose secret at hand is of no use: the key that sealed it is gone.
pub(super) async fn force_renew(
    service_client: &ServiceClient,
    context: &RequestContext,
    session_id: Uuid,
) -> Result<OpenedSession, Error> {
    let renewal =
        Renewal { session_id, purpose: Purpose::Refresh, rejected: false, agent_id: None, metadata: None };
    renew_with(service_client, context, &renewal, true, FORCE_NEW_SECRET, None).await
}

async fn renew_with(
    service_client: &ServiceClient,
    context: &RequestContext,
    renewal: &Renewal,
    with_chatkit: bool,
    min_life_seconds: u32,
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_session_id: Uuid,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_chatkit_request_id: Option<Uuid>,
        p_purpose: Purpose,
        p_rejected: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_agent_id: Option<&'a AgentId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_metadata: Option<&'a Metadata>,
        p_min_life_seconds: u32,
        #[serde(flatten)]
        idempotency: Option<LeasedKey>,
    }
    let request_id = with_chatkit.then(Uuid::now_v7);
    let arguments = context.on_behalf(Arguments {
        p_session_id: renewal.session_id,
        p_chatkit_request_id: request_id,
        p_purpose: renewal.purpose,
        p_rejected: renewal.rejected,
        p_agent_id: renewal.agent_id.as_ref(),
        p_metadata: renewal.metadata.as_ref(),
        p_min_life_seconds: min_life_seconds,
        idempotency,
    });
    telemetry::record_session_id(renewal.session_id);
    let opened: OpenedSession =
        service_client.rpc("renew_chatkit_session", &arguments, context.deadline).await?;
    Ok(OpenedSession { request_id, ..opened })
}
