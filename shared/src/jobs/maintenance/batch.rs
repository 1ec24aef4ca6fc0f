//! One batch of a maintenance job: its share of the run's time, the loop over the rows that it
//! claims, and the call budget of one session.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    clients::{
        openai::ChatKit,
        supabase::{Rpc, ServiceClient},
    },
    error::Error,
    platform::http_client::Deadline,
};

/// Clients and time limits of one batch of a job.
#[derive(Clone, Copy)]
pub(super) struct BatchContext<'a> {
    pub service_client: &'a ServiceClient,
    pub chatkit: Option<&'a ChatKit>,
    /// The deadline of the run. Work that has begun may continue until then.
    pub deadline: Deadline,
    /// The end of the job's share. No work begins after that.
    pub until: Deadline,
}

#[derive(Default)]
pub(super) struct Batch {
    /// Whether the batch had rows, so that there may be more.
    pub more: bool,
    /// The first error that affects one row only.
    pub failure: Option<Error>,
}

/// Arguments of the RPC functions that claim rows.
#[derive(Serialize)]
pub(super) struct ClaimLimits {
    pub p_limit: u32,
    pub p_lease_seconds: u64,
}

/// Rows that a job has claimed. Each function names them after their kind.
#[derive(Deserialize)]
pub(super) struct ClaimedRows<T> {
    #[serde(alias = "sessions", alias = "transcripts", alias = "erasures")]
    rows: Vec<T>,
}

/// Maximum number of requests to ChatKit for one session in a batch.
const MAX_CALLS: u32 = 100;

/// Maximum time for one session in a batch. A call that has begun is still awaited.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Remaining requests to ChatKit and remaining time for one session.
pub(super) struct CallBudget {
    calls: AtomicU32,
    until: Deadline,
}

impl BatchContext<'_> {
    /// Returns whether the job's share of the time is over.
    pub fn is_last(&self) -> bool {
        self.until.remaining().is_zero()
    }
}

/// Claims a batch of rows and processes them concurrently. `record` adds the outcome of each row to
/// the report.
///
/// # Errors
/// Returns the error of the claim, or an error that `record` returns, which ends the batch.
pub(super) async fn process_claimed<C, T, F>(
    context: BatchContext<'_>,
    claim: C,
    concurrency: usize,
    process: impl Fn(T) -> F,
    mut record: impl FnMut(F::Output, &mut Batch) -> Result<(), Error>,
) -> Result<Batch, Error>
where
    C: Rpc<Output = ClaimedRows<T>>,
    T: DeserializeOwned,
    F: Future,
{
    let ClaimedRows { rows } = context.service_client.rpc(&claim, context.deadline).await?;
    let mut batch = Batch { more: !rows.is_empty(), failure: None };
    let mut outcomes = std::pin::pin!(stream::iter(rows).map(process).buffer_unordered(concurrency));
    while let Some(outcome) = outcomes.next().await {
        record(outcome, &mut batch)?;
    }
    Ok(batch)
}

impl Batch {
    /// Records an error that affects one row.
    ///
    /// # Errors
    /// Returns an error that affects all rows, which ends the batch.
    pub fn record_error(&mut self, error: Error) -> Result<(), Error> {
        use crate::error::ErrorCode as C;
        let concerns_all = matches!(
            error.code,
            C::SupabaseKeyRejected
                | C::SupabaseUnavailable
                | C::SupabaseOverloaded
                | C::SupabaseReadOnly
                | C::SupabasePaused
        );
        if concerns_all {
            return Err(error);
        }
        self.failure.get_or_insert(error);
        Ok(())
    }
}

impl CallBudget {
    /// Creates a full budget within the run's deadline.
    pub fn new(deadline: Deadline) -> Self {
        Self { calls: AtomicU32::new(MAX_CALLS), until: deadline.capped(MAX_TIME) }
    }

    /// Takes one call from the budget. Returns whether one was left.
    pub fn spend_call(&self) -> bool {
        let taken = |left: u32| left.checked_sub(1);
        !self.until.remaining().is_zero()
            && self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[tokio::test]
    async fn budget_is_limited_by_calls_and_by_time() {
        let budget = CallBudget::new(Deadline::after(Duration::from_secs(60)));
        assert_eq!((0..1000).filter(|_| budget.spend_call()).count(), 100);
        assert!(!CallBudget::new(Deadline::after(Duration::ZERO)).spend_call());
    }

    #[test]
    fn only_errors_that_affect_all_rows_end_a_batch() {
        let mut batch = Batch { more: true, failure: None };
        assert!(
            batch.record_error(Error::new(ErrorCode::SupabaseBadAnswer)).is_ok() && batch.failure.is_some()
        );
        assert!(batch.record_error(Error::new(ErrorCode::SupabaseUnavailable)).is_err());
    }
}
