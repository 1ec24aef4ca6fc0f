//! Cancelling ChatKit sessions that are still live after their session ended, for example after an
//! outage or a crash.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{BATCH, Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport};
use crate::{domain::sessions, error::Error};

/// Cancels ChatKit sessions that may still be live. A session that ChatKit does not cancel is
/// claimed again in a later run.
pub(super) async fn cancel_chatkit_sessions(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct UncancelledClaim {
        sessions: Vec<UncancelledSession>,
    }
    #[derive(Deserialize)]
    struct UncancelledSession {
        org_id: Uuid,
        session_id: Uuid,
        chatkit_session_ids: Vec<String>,
    }
    let BatchContext { service_client, chatkit: Some(chatkit), deadline, .. } = share else {
        return Ok(Batch::default());
    };
    let arguments = json!({ "p_limit": BATCH, "p_lease_seconds": LEASE_SECONDS });
    let UncancelledClaim { sessions } =
        service_client.rpc("claim_uncancelled_chatkit_sessions", &arguments, deadline).await?;
    let batch = Batch::from_rows(sessions.len());
    let cancel =
        async |UncancelledSession { org_id, session_id, chatkit_session_ids: ids }: UncancelledSession| {
            if share.is_last() {
                return (0, ids.len());
            }
            let of = sessions::SessionRef { org_id, session_id, deadline };
            let cancelled = sessions::cancel_chatkit_sessions(chatkit, service_client, of, &ids).await;
            (cancelled, ids.len() - cancelled)
        };
    let mut outcomes = std::pin::pin!(stream::iter(sessions).map(cancel).buffer_unordered(CONCURRENCY));
    while let Some((cancelled, uncancelled)) = outcomes.next().await {
        report.cancelled_chatkit += cancelled as u64;
        report.chatkit_cancel_failures += uncancelled as u64;
    }
    Ok(batch)
}
