//! Maintenance jobs that need the database only.

use serde::Deserialize;
use serde_json::json;

use super::{BATCH, Batch, BatchContext, MaintenanceReport};
use crate::error::Error;

/// Marks requests to ChatKit whose process died as failed, and ends sessions that never got a
/// client secret.
pub(super) async fn fail_abandoned_requests(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct FailedRequests {
        settled: u64,
        failed_sessions: u64,
    }
    let arguments = json!({ "p_limit": BATCH });
    let FailedRequests { settled, failed_sessions } =
        share.service_client.rpc("fail_abandoned_requests", &arguments, share.deadline).await?;
    report.abandoned_requests += settled;
    report.failed_sessions += failed_sessions;
    Ok(Batch { more: settled > 0, failure: None })
}

/// Closes escalations whose deadline has passed.
pub(super) async fn expire_escalations(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Expired {
        expired: u64,
    }
    let arguments = json!({ "p_limit": BATCH });
    let Expired { expired } =
        share.service_client.rpc("expire_escalations", &arguments, share.deadline).await?;
    report.expired_escalations += expired;
    Ok(Batch { more: expired > 0, failure: None })
}

/// Erases expired client secrets, idempotency keys that are older than a day, and counters of rate
/// limits and of amounts that are no longer needed.
pub(super) async fn purge_expired(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct PurgeCounts {
        secrets: u64,
        keys: u64,
        throttles: u64,
        amounts: u64,
    }
    let arguments = json!({ "p_limit": 10 * BATCH });
    let PurgeCounts { secrets, keys, throttles, amounts } =
        share.service_client.rpc("purge_expired", &arguments, share.deadline).await?;
    report.erased_secrets += secrets;
    report.purged_keys += keys;
    Ok(Batch { more: secrets + keys + throttles + amounts > 0, failure: None })
}
