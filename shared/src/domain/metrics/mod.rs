//! How an organisation's sessions, escalations and deliveries went, counted by the database at every request
//! (docs/metrics.md has the definitions).

mod query;
mod report;

pub use crate::platform::parse::Timestamp;
pub use query::{Bucket, GroupBy, Question};
pub use report::{Figures, Metrics};

use crate::{clients::supabase::Reader, domain::Call, error::Error};

/// The metrics of the caller's organisation.
///
/// # Errors
/// `metrics_forbidden` to who is no owner, admin or approver of it; `too_many_figures`; those of Supabase.
pub async fn ask(reader: &Reader, call: &Call, question: &Question) -> Result<Metrics, Error> {
    Ok(reader.call("session_metrics", question, &call.caller.token, call.deadline).await?)
}
