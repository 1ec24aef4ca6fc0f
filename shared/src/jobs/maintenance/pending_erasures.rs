//! Resuming interrupted erasures of users, for example after an outage of ChatKit or a crash.

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::{Batch, BatchContext, MaintenanceReport, SMALL_BATCH};
use crate::{
    error::Error,
    jobs::erasure::{self, PendingErasure},
};

/// Maximum number of concurrent erasures.
const CONCURRENCY: usize = 4;

/// Resumes the erasures that have waited longest. An erasure that fails is logged and claimed again
/// later.
pub(super) async fn resume_erasures(
    share: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    #[derive(Deserialize)]
    struct Claimed {
        erasures: Vec<PendingErasure>,
    }
    let BatchContext { service_client, chatkit, deadline, until } = share;
    // The lease ends with this share, so that the next one can claim what is not finished.
    let lease = until.remaining().as_secs().max(1);
    let arguments = json!({ "p_limit": SMALL_BATCH, "p_lease_seconds": lease });
    let Claimed { erasures } = service_client.rpc("claim_erasures", &arguments, deadline).await?;
    let batch = Batch::from_rows(erasures.len());
    let carry_out = async |begun: PendingErasure| {
        let erasure_id = begun.id();
        let finished = erasure::run(begun, service_client, chatkit, deadline, until).await;
        finished.inspect_err(|error| tracing::warn!(%erasure_id, %error, "an erasure is not finished"))
    };
    let mut outcomes = std::pin::pin!(stream::iter(erasures).map(carry_out).buffer_unordered(CONCURRENCY));
    while let Some(finished) = outcomes.next().await {
        match finished {
            Ok(_) => report.finished_erasures += 1,
            Err(_) => report.unfinished_erasures += 1,
        }
    }
    Ok(batch)
}
