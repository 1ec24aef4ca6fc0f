//! The retry budget: a system that is down is not asked more often for being down.
//! After gRPC's retry throttling: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs>

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// What a process starts with, and the most it can have. Below the half of it nothing is tried again.
const MAX_TOKENS: u32 = 20;

/// A failed try costs two and one that went well brings one: where a fifth of all tries fail retries go on, and where all do
/// there are none after the first five.
const FAILURE_COST: u32 = 2;
const SUCCESS_CREDIT: u32 = 1;

/// How well each system has answered lately.
#[derive(Debug, Default)]
pub(super) struct RetryBudget(Mutex<HashMap<&'static str, u32>>);

impl RetryBudget {
    /// A try went well.
    pub fn succeeded(&self, system: &'static str) {
        self.with(system, |left| *left = (*left + SUCCESS_CREDIT).min(MAX_TOKENS));
    }

    /// A try failed. Says whether another can be afforded.
    pub fn failed(&self, system: &'static str) -> bool {
        self.with(system, |left| {
            *left = left.saturating_sub(FAILURE_COST);
            *left > MAX_TOKENS / 2
        })
    }

    fn with<T>(&self, system: &'static str, change: impl FnOnce(&mut u32) -> T) -> T {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(left.entry(system).or_insert(MAX_TOKENS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_is_down_is_not_asked_again() {
        let budget = RetryBudget::default();
        let retries = (0..100).filter(|_| budget.failed("openai")).count();
        assert_eq!(retries, 4);
        assert!(budget.failed("supabase"), "one system's outage is not another's");
        (0..MAX_TOKENS).for_each(|_| budget.succeeded("openai"));
        assert!(budget.failed("openai"), "it is up again");
    }

    #[test]
    fn where_a_fifth_fails_retries_go_on() {
        let budget = RetryBudget::default();
        for _ in 0..1000 {
            (0..4).for_each(|_| budget.succeeded("openai"));
            assert!(budget.failed("openai"));
        }
    }
}
