//! The retry budget: a system that is down is not asked more often for being down.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// What a process starts with, and may save up to: three retries, then ten.
const START: u32 = 3 * RETRY;
const MOST: u32 = 10 * RETRY;

/// What a retry costs, and what a call brings in: of ten calls one may be repeated.
const RETRY: u32 = 10;
const CALL: u32 = 1;

/// How many retries may still be afforded, a count for each system.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<HashMap<&'static str, u32>>);

impl Budget {
    /// A call is made.
    pub fn earn(&self, system: &'static str) {
        self.with(system, |saved| *saved = (*saved + CALL).min(MOST));
    }

    /// Whether a retry can be afforded; if so, it is paid for.
    pub fn afford(&self, system: &'static str) -> bool {
        self.with(system, |saved| match saved.checked_sub(RETRY) {
            Some(left) => {
                *saved = left;
                true
            }
            None => false,
        })
    }

    fn with<T>(&self, system: &'static str, change: impl FnOnce(&mut u32) -> T) -> T {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(saved.entry(system).or_insert(START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_it_is_spent_one_call_in_ten_may_be_repeated() {
        let budget = Budget::default();
        let retries = |calls: u32| {
            (0..calls)
                .filter(|_| {
                    budget.earn("openai");
                    budget.afford("openai")
                })
                .count()
        };
        assert!(retries(20) >= 3);
        assert_eq!(retries(100), 10);
        assert!(budget.afford("supabase"), "one system's outage is not another's");
    }
}
