//! What a duty may use of a round, and a session of a duty.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    error::Error,
    platform::http_client::Deadline,
};

/// What a duty works with, and its share of the round's time.
#[derive(Clone, Copy)]
pub(super) struct BatchContext<'a> {
    pub service_client: &'a ServiceClient,
    pub chatkit: Option<&'a ChatKit>,
    /// The round's own deadline: what is begun may be finished until then.
    pub deadline: Deadline,
    /// When the duty's share is over: nothing is begun after that.
    pub until: Deadline,
}

/// What a batch of a duty came to.
#[derive(Default)]
pub(super) struct Batch {
    /// Whether there was something to do, so that there may be more.
    pub more: bool,
    /// The first error that concerned one row only.
    pub failure: Option<Error>,
}

/// The most calls of ChatKit for one session in a batch.
const MAX_CALLS: u32 = 100;

/// How long one session may take in a batch; a call that was begun is waited for.
const MAX_TIME: Duration = Duration::from_secs(10);

/// What is left of a session's calls and time.
pub(super) struct CallBudget {
    calls: AtomicU32,
    until: Deadline,
}

impl BatchContext<'_> {
    /// Whether the time is over.
    pub fn is_last(&self) -> bool {
        self.until.remaining().is_zero()
    }
}

impl Batch {
    /// A batch of this many rows.
    pub fn from_rows(rows: usize) -> Self {
        Self { more: rows > 0, failure: None }
    }

    /// Notes an error that concerns one row. One that concerns all ends the batch.
    ///
    /// # Errors
    /// Those that concern all.
    pub fn record_error(&mut self, error: Error) -> Result<(), Error> {
        use crate::error::ErrorCode as C;
        let concerns_all = matches!(
            error.code,
            C::SupabaseKeyRefused
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
    /// A whole one, within the round's deadline.
    pub fn new(deadline: Deadline) -> Self {
        Self { calls: AtomicU32::new(MAX_CALLS), until: deadline.capped(MAX_TIME) }
    }

    /// Takes a call out of it; says whether there was one left.
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
    async fn a_budget_ends_with_its_calls_or_with_its_time() {
        let budget = CallBudget::new(Deadline::after(Duration::from_secs(60)));
        assert_eq!((0..1000).filter(|_| budget.spend_call()).count(), 100);
        assert!(!CallBudget::new(Deadline::after(Duration::ZERO)).spend_call());
    }

    #[test]
    fn only_what_concerns_all_ends_a_batch() {
        let mut batch = Batch::from_rows(2);
        assert!(
            batch.record_error(Error::new(ErrorCode::SupabaseBadAnswer)).is_ok() && batch.failure.is_some()
        );
        assert!(batch.record_error(Error::new(ErrorCode::SupabaseUnavailable)).is_err());
    }
}
