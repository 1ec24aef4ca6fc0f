//! The one way out: every call to another system goes through [`Http::send`], which holds the deadline,
//! repeats what may be repeated, and bounds what comes back.

pub mod classification;
mod client;
mod deadline;
mod retry_after;
mod retry_budget;

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Request, StatusCode, header::HeaderMap};
use tracing::Instrument;

use crate::platform::telemetry;

pub use client::HttpClient;
pub use deadline::Deadline;
pub use retry_after::retry_after;

/// How one kind of call behaves: how long a try may take and when it may be repeated.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The other system, as the logs name it.
    pub system: &'static str,
    /// The most that one try may take; the request's own deadline cuts it shorter.
    pub try_timeout: Duration,
    /// For how long after the first try another may begin: who waits is a person.
    pub retry_window: Duration,
    /// When a try may be followed by another.
    pub idempotency: Idempotency,
    /// What an answer asks for.
    pub retry_on: fn(&HttpResponse) -> RetryDecision,
}

/// What an answer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryDecision {
    /// Another try.
    pub retry: bool,
    /// Another key or token: the one that was shown is refused.
    pub unauthorized: bool,
}

/// When a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// Doing it twice is the same as doing it once.
    Idempotent,
    /// Doing it twice does harm: repeated only where the other system answered that it did nothing, or was never reached.
    NotIdempotent,
}

/// What came back. What it means only its system's table says: see [`answers`].
#[derive(Clone, Debug)]
pub struct HttpResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// No answer came back.
#[derive(Debug)]
pub enum TransportError {
    /// The other system was not reached: nothing was done there.
    Unreachable(reqwest::Error),
    /// The time was over before the answer: it may have been done there.
    TimedOut,
    /// The connection broke on the way: it may have been done there.
    Broken(reqwest::Error),
    /// The answer was larger than any that is expected.
    TooLarge,
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreachable(_) => "could not be reached",
            Self::TimedOut => "did not answer in time",
            Self::Broken(_) => "broke the connection",
            Self::TooLarge => "answered with too large a body",
        })
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) | Self::Broken(error) => Some(error),
            Self::TimedOut | Self::TooLarge => None,
        }
    }
}

/// The most bytes that an answer may have. Lambda itself cannot answer with more than 6 MiB.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// Tries in all, the first one included.
const MAX_ATTEMPTS: u32 = 3;

impl HttpClient {
    /// Sends a request, within the deadline, up to three times where its manner and the retry budget allow.
    ///
    /// # Errors
    /// The failure of the last try. An answer of any status is an answer, not a failure.
    pub async fn send(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<HttpResponse, TransportError> {
        let mut request = Some(request);
        let (mut tries, begun) = (0, Instant::now());
        loop {
            tries += 1;
            // Without a clone left to send, this try is the last one: streamed bodies cannot be sent twice.
            let next = request.as_ref().and_then(Request::try_clone);
            let Some(current) = std::mem::replace(&mut request, next) else {
                return Err(TransportError::TimedOut);
            };
            let call = telemetry::call(policy.system, tries);
            let within = deadline.timeout_up_to(policy.try_timeout);
            let outcome = self.send_once(current, within).instrument(call.clone()).await;
            record_outcome(call, &outcome, policy);
            let Some(pause) = retry_after::pause(&outcome, policy, tries) else {
                self.update_budget(&outcome, policy);
                return outcome;
            };
            let affordable = self.budget().failed(policy.system);
            let in_time = pause < deadline.remaining() && begun.elapsed() + pause < policy.retry_window;
            if !(affordable && in_time && tries < MAX_ATTEMPTS && request.is_some()) {
                return outcome;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// An outcome that is not tried again: it may still be a failure, only not one that a repeat would mend.
    fn update_budget(&self, outcome: &Result<HttpResponse, TransportError>, policy: RetryPolicy) {
        match outcome {
            Err(_) => drop(self.budget().failed(policy.system)),
            Ok(_) => self.budget().succeeded(policy.system),
        }
    }

    async fn send_once(
        &self,
        mut request: Request,
        timeout: Duration,
    ) -> Result<HttpResponse, TransportError> {
        telemetry::inject_traceparent(request.headers_mut());
        let exchange = async {
            let mut response = self.client().execute(request).await.map_err(TransportError::from)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(TransportError::from)? {
                if body.len() + chunk.len() > MAX_RESPONSE {
                    return Err(TransportError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(HttpResponse { status, headers, body: body.into() })
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(TransportError::TimedOut))
    }
}

impl From<reqwest::Error> for TransportError {
    /// The URL is left out of the error: it can hold an organisation's or a user's id.
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        match () {
            () if error.is_connect() => Self::Unreachable(error),
            () if error.is_timeout() => Self::TimedOut,
            () => Self::Broken(error),
        }
    }
}

/// Says in the call's span what came of it, and in a line of its own where that is nothing.
fn record_outcome(call: tracing::Span, outcome: &Result<HttpResponse, TransportError>, policy: RetryPolicy) {
    match outcome {
        Ok(answer) => {
            call.record("status", answer.status.as_u16());
            call.record("unauthorized", (policy.retry_on)(answer).unauthorized);
            call.in_scope(|| tracing::debug!("upstream answered"));
        }
        Err(failure) => {
            call.record("failure", tracing::field::display(failure));
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            call.in_scope(|| tracing::warn!(cause, "upstream did not answer"));
        }
    }
}
