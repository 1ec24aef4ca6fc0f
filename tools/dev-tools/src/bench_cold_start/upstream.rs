//! How long the upstreams had a function's requests.

use std::time::{Duration, SystemTime};

use local_stack::LocalStack;
use local_stack::http::Span;

/// How far the meters have been read.
pub struct Mark {
    supabase: usize,
    chatkit: usize,
}

/// Where the meters are now.
pub fn mark(stack: &LocalStack) -> Mark {
    Mark { supabase: stack.supabase().latency().count(), chatkit: stack.openai().latency().count() }
}

/// The time in which at least one request since the mark was with an upstream.
pub fn time_since(stack: &LocalStack, mark: &Mark) -> Duration {
    let mut spans = stack.supabase().latency().spans_after(mark.supabase);
    spans.extend(stack.openai().latency().spans_after(mark.chatkit));
    covered(spans)
}

/// How much time the spans cover; where two overlap, it counts once.
fn covered(mut spans: Vec<Span>) -> Duration {
    spans.sort();
    let mut covered = Duration::ZERO;
    let mut reached = SystemTime::UNIX_EPOCH;
    for (start, length) in spans {
        let end = start + length;
        covered += end.duration_since(start.max(reached)).unwrap_or_default();
        reached = reached.max(end);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_two_requests_share_counts_once() {
        let at = |start, length| {
            (SystemTime::UNIX_EPOCH + Duration::from_millis(start), Duration::from_millis(length))
        };
        assert_eq!(covered(vec![]), Duration::ZERO);
        assert_eq!(covered(vec![at(1000, 10), at(2000, 5)]), Duration::from_millis(15));
        assert_eq!(covered(vec![at(1005, 10), at(1000, 10)]), Duration::from_millis(15));
        assert_eq!(covered(vec![at(1000, 20), at(1005, 5), at(1018, 4)]), Duration::from_millis(22));
    }
}
