//! When to try again, and how long to wait before.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};

#[cfg(test)]
use super::RetryDecision;
use super::{HttpResponse, Idempotency, RetryPolicy, TransportError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest that another system's word is taken for.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// The pause before the next try, or `None` if there should be none.
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

/// What an answer asks to wait, in whole or (`retry-after-ms`) thousandths of seconds.
///
/// `Retry-After` as a date is not obeyed: it needs two clocks that agree. More than an hour is taken for an hour: who asks for more
/// has made a mistake, and would not be should_retry again today.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| header(headers, name).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    // Too many digits for a number are more than an hour.
    let parsed = |value: &str| (!value.is_empty()).then(|| value.parse().unwrap_or(u64::MAX));
    let millis = number("retry-after-ms").and_then(parsed).map(Duration::from_millis);
    let seconds = || number("retry-after").and_then(parsed).map(Duration::from_secs);
    millis.or_else(seconds).map(|wait| wait.min(MAX_WAIT))
}

/// Full jitter: anything between nothing and a bound that doubles with each try.
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

    const MANNER: RetryPolicy = RetryPolicy {
        system: "test",
        try_timeout: Duration::from_secs(1),
        retry_window: Duration::from_secs(1),
        idempotency: Idempotency::NotIdempotent,
        retry_on: |answer| RetryDecision { retry: answer.status.is_server_error(), unauthorized: false },
    };

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Result<HttpResponse, TransportError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Ok(HttpResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: bytes::Bytes::new() })
    }

    #[test]
    fn what_the_other_side_asks_is_obeyed() {
        let pause = |headers| pause(&answer(503, headers), MANNER, 1);
        assert_eq!(pause(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(pause(&[("retry-after-ms", "20"), ("retry-after", "2")]), Some(Duration::from_millis(20)));
        assert_eq!(pause(&[("x-should-retry", "false")]), None);
    }

    #[test]
    fn an_absurd_wait_is_an_hour_and_what_is_no_number_is_not_there() {
        let wait = |value| match answer(503, &[("retry-after", value)]) {
            Ok(answer) => retry_after(&answer.headers),
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
    fn an_unknown_outcome_is_repeated_only_where_that_is_safe() {
        assert_eq!(pause(&Err(TransportError::TimedOut), MANNER, 1), None);
        assert!(
            pause(
                &Err(TransportError::TimedOut),
                RetryPolicy { idempotency: Idempotency::Idempotent, ..MANNER },
                1
            )
            .is_some()
        );
        assert_eq!(pause(&answer(200, &[]), MANNER, 1), None);
        assert_eq!(pause(&answer(404, &[]), MANNER, 1), None);
    }
}
