//! Ending a session at its user's wish: marked first, so that no secret can be recorded any more, then cancelled at ChatKit.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::Session;
use crate::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    domain::{RequestContext, idempotency::IdempotencyKey},
    error::Error,
    platform::http_client::Deadline,
};

/// A session that is ended on record.
#[derive(Debug, Deserialize)]
pub struct CancelledSession {
    /// The session.
    pub session: Session,
    /// ChatKit sessions of it that may still be alive.
    pub live_chatkit_session_ids: Vec<String>,
}

/// How long the caller waits for ChatKit: the session is ended on record already.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// ChatKit sessions that are cancelled at the same time.
const CONCURRENCY: usize = 8;

/// Time kept back for recording what was cancelled.
const RESERVE: Duration = Duration::from_secs(1);

/// Marks the session as ended, its secrets erased, its open escalations withdrawn. Doing it again changes nothing.
///
/// # Errors
/// `session_not_found`.
pub async fn cancel(
    service_client: &ServiceClient,
    context: &RequestContext,
    session_id: Uuid,
    idempotency: Option<IdempotencyKey>,
) -> Result<CancelledSession, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_session_id: Uuid,
        #[serde(flatten)]
        idempotency: Option<IdempotencyKey>,
    }
    let arguments = context.on_behalf(Arguments { p_session_id: session_id, idempotency });
    Ok(service_client.rpc("cancel_session", &arguments, context.deadline).await?)
}

/// Which session something is done for, and until when it is of use.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    /// The organisation.
    pub org_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// Until when.
    pub deadline: Deadline,
}

impl SessionRef {
    /// A session of the caller's organisation.
    pub fn of_caller(context: &RequestContext, session_id: Uuid) -> Self {
        Self { org_id: context.caller.org_id, session_id, deadline: context.deadline }
    }
}

/// Cancels ChatKit sessions, some at once, records which are cancelled, and says how many.
///
/// What fails is left as it is: the record still lists it as live, so the next cancel or the scheduler tries again, and it
/// dies by itself within ten minutes.
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
    let arguments =
        json!({ "p_org_id": org_id, "p_session_id": session_id, "p_chatkit_session_ids": cancelled });
    // Not for long: what is not noted is cancelled once more later, which does no harm.
    let noting = deadline.capped(RECORD_TIMEOUT);
    let confirmed = service_client.rpc_until_recorded::<serde::de::IgnoredAny>(
        "confirm_chatkit_cancelled",
        &arguments,
        noting,
    );
    if let Err(error) = confirmed.await {
        tracing::warn!(%session_id, %error, "cancelled ChatKit sessions could not be noted");
    }
    cancelled.len()
}
