//! Opening a session, and requesting another ChatKit session for an open one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{AgentId, Channel, Metadata, Provider, Purpose, Session, SessionLabels};
use crate::{
    clients::{
        openai::ChatKitSessionRequest,
        supabase::{Rpc, ServiceClient},
    },
    domain::{RequestContext, idempotency::LeasedKey},
    error::{Error, RateLimit},
    platform::{parse::Timestamp, sealing::Sealed, telemetry},
};

#[derive(Debug)]
pub struct NewSession {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub metadata: Metadata,
    pub labels: SessionLabels,
}

/// Request for another ChatKit session for an open session.
#[derive(Debug)]
pub struct Renewal {
    pub session_id: Uuid,
    pub purpose: Purpose,
    /// Whether ChatKit rejected the client secret that the client has.
    pub rejected: bool,
    /// The agent that the caller expects the session to be with.
    pub agent_id: Option<AgentId>,
    /// The metadata that the caller expects the session to have.
    pub metadata: Option<Metadata>,
    /// Replace the session's labels when it is resumed.
    pub labels: SessionLabels,
}

/// Parameters for creating a ChatKit session, by the session's provider.
#[derive(Debug, Deserialize)]
#[serde(tag = "provider", rename_all = "snake_case")]
pub enum ChatKitParams {
    OpenaiHosted(ChatKitSessionRequest),
    SelfHosted {
        /// The registered start screen, which the database has validated.
        start_screen: Map<String, Value>,
    },
}

/// A recorded session, with the parameters for a ChatKit session.
#[derive(Debug, Deserialize)]
pub struct OpenedSession {
    pub session: Session,
    pub upstream: ChatKitParams,
    /// Id of the recorded request for a ChatKit session, generated here. Nothing is recorded if the
    /// session's provider is not configured, or if a secret is live.
    #[serde(skip)]
    pub request_id: Option<Uuid>,
    /// Whether an earlier request with the same idempotency key opened the session.
    #[serde(default)]
    pub replayed: bool,
    /// State of the rate limit of client secrets, if it was charged.
    #[serde(default)]
    pub limit: Option<RateLimit>,
    /// A ChatKit session that is live for long enough to be reused.
    #[serde(default)]
    pub live: Option<LiveSecret>,
}

/// A recorded ChatKit session with its sealed secret.
#[derive(Debug, Deserialize)]
pub struct LiveSecret {
    pub chatkit_session_id: String,
    #[serde(flatten)]
    pub sealed: Sealed,
    pub expires_at: Timestamp,
}

/// Minimum remaining life of a client secret that is reused, in seconds.
const MIN_LIFE_SECONDS: u32 = 120;

/// Longer than the life of any client secret, in seconds, so that none is reused.
const FORCE_NEW_SECRET: u32 = 3600;

#[derive(Serialize)]
struct OpenSessionCall<'a> {
    p_session_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_chatkit_request_id: Option<Uuid>,
    p_providers: &'a [Provider],
    p_agent_id: &'a AgentId,
    p_channel: Channel,
    p_metadata: &'a Metadata,
    p_min_life_seconds: u32,
    #[serde(skip_serializing_if = "SessionLabels::is_empty")]
    p_labels: &'a SessionLabels,
    #[serde(flatten)]
    idempotency: Option<LeasedKey>,
}

impl Rpc for OpenSessionCall<'_> {
    const NAME: &'static str = "open_session";
    type Output = OpenedSession;
}

/// Records a new session and, if its provider is one of `providers`, a request for a ChatKit
/// session.
///
/// # Errors
/// Returns an error if the caller is not a member of the organisation, if the agent does not exist
/// or if the caller's role may not open it. The RPC function `open_session` has the codes.
pub async fn open(
    service_client: &ServiceClient,
    context: &RequestContext,
    new: &NewSession,
    providers: &[Provider],
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    let request_id = (!providers.is_empty()).then(Uuid::now_v7);
    let call = context.on_behalf(OpenSessionCall {
        p_session_id: Uuid::now_v7(),
        p_chatkit_request_id: request_id,
        p_providers: providers,
        p_agent_id: &new.agent_id,
        p_channel: new.channel,
        p_metadata: &new.metadata,
        p_min_life_seconds: MIN_LIFE_SECONDS,
        p_labels: &new.labels,
        idempotency,
    });
    let opened = service_client.rpc(&call, context.deadline).await?;
    telemetry::record_session_id(opened.session.id);
    Ok(OpenedSession { request_id, ..opened })
}

#[derive(Serialize)]
struct RenewChatKitSessionCall<'a> {
    p_session_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_chatkit_request_id: Option<Uuid>,
    p_providers: &'a [Provider],
    p_purpose: Purpose,
    p_rejected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_agent_id: Option<&'a AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_metadata: Option<&'a Metadata>,
    p_min_life_seconds: u32,
    #[serde(skip_serializing_if = "SessionLabels::is_empty")]
    p_labels: &'a SessionLabels,
    #[serde(flatten)]
    idempotency: Option<LeasedKey>,
}

impl Rpc for RenewChatKitSessionCall<'_> {
    const NAME: &'static str = "renew_chatkit_session";
    type Output = OpenedSession;
}

/// Finds a live ChatKit session to reuse, or records a request for another.
///
/// # Errors
/// Returns an error if the session is not found or has ended, if it has another agent or other
/// metadata than expected, and `still_running` if a request is in progress. The RPC function
/// `renew_chatkit_session` has the codes.
pub async fn renew(
    service_client: &ServiceClient,
    context: &RequestContext,
    renewal: &Renewal,
    providers: &[Provider],
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    renew_with(service_client, context, renewal, providers, MIN_LIFE_SECONDS, idempotency).await
}

/// Requests a new client secret although one is live: the key that sealed it is not configured any
/// more.
pub(super) async fn force_renew(
    service_client: &ServiceClient,
    context: &RequestContext,
    session_id: Uuid,
    providers: &[Provider],
) -> Result<OpenedSession, Error> {
    let renewal = Renewal {
        session_id,
        purpose: Purpose::Refresh,
        rejected: false,
        agent_id: None,
        metadata: None,
        labels: SessionLabels::default(),
    };
    renew_with(service_client, context, &renewal, providers, FORCE_NEW_SECRET, None).await
}

async fn renew_with(
    service_client: &ServiceClient,
    context: &RequestContext,
    renewal: &Renewal,
    providers: &[Provider],
    min_life_seconds: u32,
    idempotency: Option<LeasedKey>,
) -> Result<OpenedSession, Error> {
    let request_id = (!providers.is_empty()).then(Uuid::now_v7);
    let call = context.on_behalf(RenewChatKitSessionCall {
        p_session_id: renewal.session_id,
        p_chatkit_request_id: request_id,
        p_providers: providers,
        p_purpose: renewal.purpose,
        p_rejected: renewal.rejected,
        p_agent_id: renewal.agent_id.as_ref(),
        p_metadata: renewal.metadata.as_ref(),
        p_min_life_seconds: min_life_seconds,
        p_labels: &renewal.labels,
        idempotency,
    });
    telemetry::record_session_id(renewal.session_id);
    let opened = service_client.rpc(&call, context.deadline).await?;
    Ok(OpenedSession { request_id, ..opened })
}
