//! Ending a session at its user's request: marks it as ended first, so that no further client
//! secret can be recorded, then cancels its ChatKit sessions.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::Session;
use crate::{
    clients::{
        openai::ChatKit,
        supabase::{Rpc, ServiceClient},
    },
    domain::{RequestContext, idempotency::IdempotencyKey},
    error::Error,
    platform::http_client::Deadline,
};

/// A session that is marked as ended.
#[derive(Debug, Deserialize)]
pub struct CancelledSession {
    pub session: Session,
    /// Its ChatKit sessions that may still be live.
    pub live_chatkit_session_ids: Vec<String>,
}

/// Time limit for cancelling at ChatKit and for recording the result. The caller waits, but the
/// session is already marked as ended.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of ChatKit sessions that are cancelled concurrently.
const CONCURRENCY: usize = 8;

/// Time reserved for recording which ChatKit sessions were cancelled.
const RESERVE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct CancelSessionCall {
    p_session_id: Uuid,
    #[serde(flatten)]
    idempotency: Option<IdempotencyKey>,
}

impl Rpc for CancelSessionCall {
    const NAME: &'static str = "cancel_session";
    type Output = CancelledSession;
}

/// Records that ChatKit sessions of a session are cancelled.
#[derive(Debug, Serialize)]
pub struct ConfirmChatKitCancelledCall<'a> {
    pub p_org_id: Uuid,
    pub p_session_id: Uuid,
    pub p_chatkit_session_ids: &'a [String],
}

impl Rpc for ConfirmChatKitCancelledCall<'_> {
    const NAME: &'static str = "confirm_chatkit_cancelled";
    type Output = IgnoredAny;
}

/// Marks a session as ended, erases its client secrets and withdraws its open escalations. Has no
/// effect on a session that has ended.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or is not the caller's.
pub async fn cancel(
    service_client: &ServiceClient,
    context: &RequestContext,
    session_id: Uuid,
    idempotency: Option<IdempotencyKey>,
) -> Result<CancelledSession, Error> {
    let call = context.on_behalf(CancelSessionCall { p_session_id: session_id, idempotency });
    Ok(service_client.rpc(&call, context.deadline).await?)
}

/// A session, and the deadline for the work on it.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    pub org_id: Uuid,
    pub session_id: Uuid,
    pub deadline: Deadline,
}

impl SessionRef {
    /// Refers to a session of the caller's organisation, within the request's deadline.
    pub fn of_caller(context: &RequestContext, session_id: Uuid) -> Self {
        Self { org_id: context.caller.org_id, session_id, deadline: context.deadline }
    }
}

/// Cancels ChatKit sessions concurrently, records which are cancelled, and returns how many.
///
/// Failures are only logged. Such a session stays live on record, so that the next cancel request
/// or the scheduled maintenance retries it. It expires within ten minutes in any case.
pub async fn cancel_chatkit_sessions(
    chatkit: &ChatKit,
    service_client: &ServiceClient,
    of: SessionRef,
    ids: &[String],
) -> usize {
    let SessionRef { org_id, session_id, deadline } = of;
    let asking = deadline.minus(RESERVE).capped(RECORD_TIMEOUT);
    let cancel = async |id: &String| (chatkit.cancel_session(id, asking).await, id.clone());
    let mut outcomes = std::pin::pin!(stream::iter(ids).map(cancel).buffer_unordered(CONCURRENCY));
    let mut cancelled = Vec::with_capacity(ids.len());
    while let Some((outcome, id)) = outcomes.next().await {
        match outcome {
            Ok(()) => cancelled.push(id),
            Err(error) => tracing::warn!(%session_id, %error, "a ChatKit session could not be cancelled"),
        }
    }
    if cancelled.is_empty() {
        return 0;
    }
    let call = ConfirmChatKitCancelledCall {
        p_org_id: org_id,
        p_session_id: session_id,
        p_chatkit_session_ids: &cancelled,
    };
    // A short limit is enough: a session that is not recorded is cancelled again later, without
    // harm.
    let recorded = service_client.rpc_until_recorded(&call, deadline.capped(RECORD_TIMEOUT));
    if let Err(error) = recorded.await {
        tracing::warn!(%session_id, %error, "cancelled ChatKit sessions could not be recorded");
    }
    cancelled.len()
}
