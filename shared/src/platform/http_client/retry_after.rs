//! Retry delays: `Retry-After` and exponential backoff with jitter.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};

#[cfg(test)]
use super::RetryDecision;
use super::{HttpResponse, Idempotency, RetryPolicy, TransportError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest wait that another system may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Returns the delay before the next attempt, or `None` if the call must not be retried.
pub(super) fn pause(
    outcome: &Result<HttpResponse, TransportError>,
    policy: RetryPolicy,
    tries: u32,
) -> Option<Duration> {
    match outcome {
        Ok(answer) => {
            let should_retry = match header(&answer.headers, "x-should-retry") {
                Some("true") => true,
                Some("false") => false,
                _ => (policy.retry_on)(answer).retry,
            };
            should_retry.then(|| retry_after(&answer.headers).unwrap_or_else(|| jitter(tries)))
        }
        Err(TransportError::Unreachable(_)) => Some(jitter(tries)),
        Err(TransportError::TimedOut | TransportError::Broken(_))
            if policy.idempotency == Idempotency::Idempotent =>
        {
            Some(jitter(tries))
        }
        Err(_) => None,
    }
}

/// Returns how long a response asks to wait: `retry-after-ms` in
/// milliseconds, or `Retry-After` in seconds.
///
/// `Retry-After` as a date is ignored, because it needs two clocks that agree. A wait of more than
/// an hour is shortened to one hour. A longer one is a mistake of the other system, and would stop
/// requests to it for the rest of the day.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| header(headers, name).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    // A number with too many digits to parse is longer than an hour.
    let parsed = |value: &str| (!value.is_empty()).then(|| value.parse().unwrap_or(u64::MAX));
    let millis = number("retry-after-ms").and_then(parsed).map(Duration::from_millis);
    let seconds = || number("retry-after").and_then(parsed).map(Duration::from_secs);
    millis.or_else(seconds).map(|wait| wait.min(MAX_WAIT))
}

/// Full jitter: a random delay between zero and a bound that doubles with each attempt.
fn jitter(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.min(8)).mul_f64(fastrand::f64())
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;

    const POLICY: RetryPolicy = RetryPolicy {
        system: "test",
        try_timeout: Duration::from_secs(1),
        retry_window: Duration::from_secs(1),
        idempotency: Idempotency::NotIdempotent,
        retry_on: |answer| RetryDecision { retry: answer.status.is_server_error(), unauthorized: false },
    };

    fn response(
        status: u16,
        headers: &[(&'static str, &'static str)],
    ) -> Result<HttpResponse, TransportError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Ok(HttpResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: bytes::Bytes::new() })
    }

    #[test]
    fn response_headers_determine_the_delay() {
        let pause = |headers| pause(&response(503, headers), POLICY, 1);
        assert_eq!(pause(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(pause(&[("retry-after-ms", "20"), ("retry-after", "2")]), Some(Duration::from_millis(20)));
        assert_eq!(pause(&[("x-should-retry", "false")]), None);
    }

    #[test]
    fn retry_after_is_at_most_an_hour_and_ignored_if_not_numeric() {
        let wait = |value| match response(503, &[("retry-after", value)]) {
            Ok(response) => retry_after(&response.headers),
            Err(_) => None,
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, expected) in [
            ("0", seconds(0)),
            ("007", seconds(7)),
            ("3600", seconds(3600)),
            ("3601", seconds(3600)),
            ("99999999999999999999999999", seconds(3600)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(wait(value), expected, "{value:?}");
        }
    }

    #[test]
    fn unknown_outcome_is_retried_only_if_idempotent() {
        assert_eq!(pause(&Err(TransportError::TimedOut), POLICY, 1), None);
        assert!(
            pause(
                &Err(TransportError::TimedOut),
                RetryPolicy { idempotency: Idempotency::Idempotent, ..POLICY },
                1
            )
            .is_some()
        );
        assert_eq!(pause(&response(200, &[]), POLICY, 1), None);
        assert_eq!(pause(&response(404, &[]), POLICY, 1), None);
    }
}
