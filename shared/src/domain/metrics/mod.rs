//! How an organisation's sessions, escalations and deliveries went, counted by the database at every request
//! (docs/reference/metrics.md has the definitions).

mod query;
mod report;

pub use crate::platform::parse::Timestamp;
pub use query::{Bucket, GroupBy, MetricsQuery};
pub use report::{MetricSet, MetricsReport};

use crate::{clients::supabase::UserClient, domain::RequestContext, error::Error};

/// The metrics of the caller's organisation.
///
/// # Errors
/// `metrics_forbidden` to who is no owner, admin or approver of it; `too_many_figures`; those of Supabase.
pub async fn fetch(
    user_client: &UserClient,
    context: &RequestContext,
    question: &MetricsQuery,
) -> Result<MetricsReport, Error> {
    Ok(user_client.rpc("session_metrics", question, &context.caller.token, context.deadline).await?)
}
