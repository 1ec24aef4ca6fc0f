//! Retry budget: a system that is down does not receive more requests because of retries. It
//! follows gRPC's retry throttling:
//! <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs>

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Tokens at the start, which is also the maximum. Calls are retried only while more than
/// half of them are left.
const MAX_TOKENS: u32 = 20;

/// A failed attempt costs two tokens, and a successful one returns one. If a fifth of all attempts
/// fail, retries continue. If all fail, retries stop after the first five.
const FAILURE_COST: u32 = 2;
const SUCCESS_CREDIT: u32 = 1;

/// Tokens left for each system.
#[derive(Debug, Default)]
pub(super) struct RetryBudget(Mutex<HashMap<&'static str, u32>>);

impl RetryBudget {
    pub fn succeeded(&self, system: &'static str) {
        self.with(system, |left| *left = (*left + SUCCESS_CREDIT).min(MAX_TOKENS));
    }

    /// Records a failed attempt. Returns whether the budget allows a retry.
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
    fn failing_system_uses_up_its_own_budget_only() {
        let budget = RetryBudget::default();
        let retries = (0..100).filter(|_| budget.failed("openai")).count();
        assert_eq!(retries, 4);
        assert!(budget.failed("supabase"), "one system's outage is not another's");
        (0..MAX_TOKENS).for_each(|_| budget.succeeded("openai"));
        assert!(budget.failed("openai"), "it is up again");
    }

    #[test]
    fn one_failure_in_five_leaves_retries_allowed() {
        let budget = RetryBudget::default();
        for _ in 0..1000 {
            (0..4).for_each(|_| budget.succeeded("openai"));
            assert!(budget.failed("openai"));
        }
    }
}
