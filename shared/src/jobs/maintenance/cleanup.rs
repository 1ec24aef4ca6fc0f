//! Maintenance jobs that need the database only.

use serde::{Deserialize, Serialize};

use super::{BATCH, Batch, BatchContext, MaintenanceReport};
use crate::{clients::supabase::Rpc, error::Error};

#[derive(Serialize)]
struct FailAbandonedRequestsCall {
    p_limit: u32,
}

#[derive(Deserialize)]
struct FailedRequests {
    settled: u64,
    failed_sessions: u64,
}

impl Rpc for FailAbandonedRequestsCall {
    const NAME: &'static str = "fail_abandoned_requests";
    type Output = FailedRequests;
}

#[derive(Serialize)]
struct SettleChatRunsCall {
    p_limit: u32,
}

#[derive(Deserialize)]
struct SettledChatRuns {
    settled: u64,
}

impl Rpc for SettleChatRunsCall {
    const NAME: &'static str = "settle_chat_runs";
    type Output = SettledChatRuns;
}

#[derive(Serialize)]
struct ExpireEscalationsCall {
    p_limit: u32,
}

#[derive(Deserialize)]
struct ExpiredEscalations {
    expired: u64,
}

impl Rpc for ExpireEscalationsCall {
    const NAME: &'static str = "expire_escalations";
    type Output = ExpiredEscalations;
}

#[derive(Serialize)]
struct PurgeExpiredCall {
    p_limit: u32,
}

#[derive(Deserialize)]
struct PurgeCounts {
    secrets: u64,
    keys: u64,
    throttles: u64,
    amounts: u64,
    chunks: u64,
}

impl Rpc for PurgeExpiredCall {
    const NAME: &'static str = "purge_expired";
    type Output = PurgeCounts;
}

/// Marks requests to ChatKit whose process died as failed, and ends sessions that never got a
/// client secret.
pub(super) async fn fail_abandoned_requests(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let call = FailAbandonedRequestsCall { p_limit: BATCH };
    let FailedRequests { settled, failed_sessions } =
        context.service_client.rpc(&call, context.deadline).await?;
    report.abandoned_requests += settled;
    report.failed_sessions += failed_sessions;
    Ok(Batch { more: settled > 0, failure: None })
}

/// Ends answers of the self-hosted chat whose process died. What it had written becomes part of
/// the thread.
pub(super) async fn settle_chat_runs(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let call = SettleChatRunsCall { p_limit: BATCH };
    let SettledChatRuns { settled } = context.service_client.rpc(&call, context.deadline).await?;
    report.interrupted_answers += settled;
    Ok(Batch { more: settled > 0, failure: None })
}

/// Closes escalations whose deadline has passed.
pub(super) async fn expire_escalations(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let call = ExpireEscalationsCall { p_limit: BATCH };
    let ExpiredEscalations { expired } = context.service_client.rpc(&call, context.deadline).await?;
    report.expired_escalations += expired;
    Ok(Batch { more: expired > 0, failure: None })
}

/// Erases expired client secrets, idempotency keys that are older than a day, counters of rate
/// limits and of amounts that are no longer needed, and what finished answers streamed.
pub(super) async fn purge_expired(
    context: BatchContext<'_>,
    report: &mut MaintenanceReport,
) -> Result<Batch, Error> {
    let call = PurgeExpiredCall { p_limit: 10 * BATCH };
    let PurgeCounts { secrets, keys, throttles, amounts, chunks } =
        context.service_client.rpc(&call, context.deadline).await?;
    report.erased_secrets += secrets;
    report.purged_keys += keys;
    Ok(Batch { more: secrets + keys + throttles + amounts + chunks > 0, failure: None })
}
