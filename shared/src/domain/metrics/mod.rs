//! Metrics of an organisation's sessions, escalations and deliveries. The database computes them
//! for every request; docs/reference/metrics.md defines them.

mod query;
mod report;

pub use crate::platform::parse::Timestamp;
pub use query::{Bucket, GroupBy, MetricsQuery};
pub use report::{MetricSet, MetricsReport};

use crate::{clients::supabase::UserClient, domain::RequestContext, error::Error};

/// Returns the metrics of the caller's organisation.
///
/// # Errors
/// Returns `metrics_forbidden` if the caller is not an owner, admin or approver of the
/// organisation, and `too_many_figures` if the result is too large.
pub async fn fetch(
    user_client: &UserClient,
    context: &RequestContext,
    query: &MetricsQuery,
) -> Result<MetricsReport, Error> {
    Ok(user_client.rpc(query, &context.caller.token, context.deadline).await?)
}
