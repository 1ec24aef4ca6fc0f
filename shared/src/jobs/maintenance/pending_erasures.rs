//! Resuming interrupted erasures of users, for example after an outage of ChatKit or a crash.

use serde::Serialize;

use super::{
    Batch, BatchContext, MaintenanceReport, SMALL_BATCH,
    batch::{ClaimLimits, ClaimedRows, process_claimed},
};
use crate::{
    clients::supabase::Rpc,
    error::Error,
    jobs::erasure::{self, PendingErasure},
};

/// Maximum number of concurrent erasures.
const CONCURRENCY: usize = 4;

#[derive(Serialize)]
struct ClaimErasuresCall(ClaimLimits);

impl Rpc for ClaimErasuresCall {
    const NAME: &'static str = "claim_erasures";
    type Output = ClaimedRows<PendingErasure>;
}

/// Resumes the erasures that have waited longest. An erasure that fails is logged and claimed again
/// later.
pub(super) async fn resume_erasures(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let BatchContext { service_client, chatkit, deadline, until } = context;
    // The lease ends with this share, so that the next one can claim what is not finished.
    let lease = until.remaining().as_secs().max(1);
    let claim = ClaimLimits { p_limit: SMALL_BATCH, p_lease_seconds: lease };
    let resume = async |pending: PendingErasure| {
        let erasure_id = pending.id();
        let finished = erasure::run(pending, service_client, chatkit, deadline, until).await;
        finished.inspect_err(|error| tracing::warn!(%erasure_id, %error, "an erasure is not finished"))
    };
    let record = |finished: Result<_, Error>, _: &mut Batch| {
        match finished {
            Ok(_) => report.finished_erasures += 1,
            Err(_) => report.unfinished_erasures += 1,
        }
        Ok(())
    };
    process_claimed(context, ClaimErasuresCall(claim), CONCURRENCY, resume, record).await
}
