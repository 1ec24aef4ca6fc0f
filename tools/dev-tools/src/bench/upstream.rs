//! Time that the upstreams needed for a function's requests.

use std::time::{Duration, SystemTime};

use local_stack::LocalStack;
use local_stack::http::Span;

/// Number of requests that each upstream had received.
pub struct Snapshot {
    supabase: usize,
    chatkit: usize,
    model: usize,
    lambda: usize,
}

impl Snapshot {
    /// Takes a snapshot of the upstreams' request counts.
    pub fn take(stack: &LocalStack) -> Self {
        Self {
            supabase: stack.supabase().latency().count(),
            chatkit: stack.openai().latency().count(),
            model: stack.model().latency().count(),
            lambda: stack.lambda().invoke_api().latency().count(),
        }
    }

    /// Returns the time since the snapshot in which at least one upstream request was running.
    pub fn upstream_time(&self, stack: &LocalStack) -> Duration {
        covered_time(self.calls(stack))
    }

    /// Returns all upstream requests since the snapshot.
    pub fn calls(&self, stack: &LocalStack) -> Vec<Span> {
        let mut spans = self.database_calls(stack);
        spans.extend(stack.openai().latency().spans_after(self.chatkit));
        spans.extend(self.model_calls(stack));
        spans.extend(stack.lambda().invoke_api().latency().spans_after(self.lambda));
        spans
    }

    /// Returns the requests to Supabase since the snapshot.
    pub fn database_calls(&self, stack: &LocalStack) -> Vec<Span> {
        stack.supabase().latency().spans_after(self.supabase)
    }

    /// Returns the requests to the model since the snapshot.
    pub fn model_calls(&self, stack: &LocalStack) -> Vec<Span> {
        stack.model().latency().spans_after(self.model)
    }
}

/// Returns the total time of the spans; overlaps count once.
pub fn covered_time(mut spans: Vec<Span>) -> Duration {
    spans.sort();
    let mut covered_time = Duration::ZERO;
    let mut reached = SystemTime::UNIX_EPOCH;
    for (start, length) in spans {
        let end = start + length;
        covered_time += end.duration_since(start.max(reached)).unwrap_or_default();
        reached = reached.max(end);
    }
    covered_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_count_once() {
        let at = |start, length| {
            (SystemTime::UNIX_EPOCH + Duration::from_millis(start), Duration::from_millis(length))
        };
        assert_eq!(covered_time(vec![]), Duration::ZERO);
        assert_eq!(covered_time(vec![at(1000, 10), at(2000, 5)]), Duration::from_millis(15));
        assert_eq!(covered_time(vec![at(1005, 10), at(1000, 10)]), Duration::from_millis(15));
        assert_eq!(covered_time(vec![at(1000, 20), at(1005, 5), at(1018, 4)]), Duration::from_millis(22));
    }
}
