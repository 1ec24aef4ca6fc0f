//! Cancelling ChatKit sessions that are still live after their session ended, for example after an
//! outage or a crash.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    BATCH, Batch, BatchContext, CONCURRENCY, LEASE_SECONDS, MaintenanceReport,
    batch::{ClaimLimits, ClaimedRows, process_claimed},
};
use crate::{
    clients::supabase::Rpc,
    domain::sessions::{self, SessionRef},
    error::Error,
};

#[derive(Serialize)]
struct ClaimUncancelledChatKitSessionsCall(ClaimLimits);

#[derive(Deserialize)]
struct UncancelledSession {
    org_id: Uuid,
    session_id: Uuid,
    chatkit_session_ids: Vec<String>,
}

impl Rpc for ClaimUncancelledChatKitSessionsCall {
    const NAME: &'static str = "claim_uncancelled_chatkit_sessions";
    type Output = ClaimedRows<UncancelledSession>;
}

/// Cancels ChatKit sessions that may still be live. A session that ChatKit does not cancel is
/// claimed again in a later run.
pub(super) async fn cancel_chatkit_sessions(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let BatchContext { service_client, chatkit: Some(chatkit), deadline, .. } = context else {
        return Ok(Batch::default());
    };
    let claim = ClaimLimits { p_limit: BATCH, p_lease_seconds: LEASE_SECONDS };
    let cancel = async |UncancelledSession { org_id, session_id, chatkit_session_ids: ids }| {
        if context.is_last() {
            return (0, ids.len());
        }
        let of = SessionRef { org_id, session_id, deadline };
        let cancelled = sessions::cancel_chatkit_sessions(chatkit, service_client, of, &ids).await;
        (cancelled, ids.len() - cancelled)
    };
    let record = |(cancelled, uncancelled), _: &mut Batch| {
        report.cancelled_chatkit += cancelled as u64;
        report.chatkit_cancel_failures += uncancelled as u64;
        Ok(())
    };
    process_claimed(context, ClaimUncancelledChatKitSessionsCall(claim), CONCURRENCY, cancel, record).await
}
