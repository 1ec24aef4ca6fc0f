//! How an organisation's sessions, escalations and deliveries went, counted by the database at every request
//! (docs/reference/metrics.md has the definitions).

mod figures;
mod question;

pub use crate::parse::Timestamp;
pub use figures::{Figures, Metrics};
pub use question::{Bucket, GroupBy, Question};

use crate::{call::Call, error::Error, supabase::Reader};

/// The metrics of the caller's organisation.
///
/// # Errors
/// `metrics_forbidden` to who is no owner, admin or approver of it; `too_many_figures`; those of Supabase.
pub async fn ask(reader: &Reader, call: &Call, question: &Question) -> Result<Metrics, Error> {
    Ok(reader.call("session_metrics", question, &call.caller.token, call.deadline).await?)
}
