//! HTTP client for configured systems, with deadlines, retries and a limit on response size. Every
//! call to such a system goes through [`HttpClient::send`].

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

/// Timeout and retry policy of one kind of call.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Name of the other system in logs.
    pub system: &'static str,
    /// Maximum duration of one attempt. The deadline of the request can shorten it.
    pub try_timeout: Duration,
    /// Time after the first attempt in which a retry may start. It is short, because a user waits.
    pub retry_window: Duration,
    pub idempotency: Idempotency,
    /// Decides from a response whether to retry.
    pub retry_on: fn(&HttpResponse) -> RetryDecision,
}

/// What to do after a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryDecision {
    pub retry: bool,
    /// Whether the key or token was rejected.
    pub unauthorized: bool,
}

/// Whether a call can be repeated safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// Repeating the call has the same effect as sending it once.
    Idempotent,
    /// Repeating the call does harm. It is retried only if the other system reported that it did
    /// nothing, or was not reached.
    NotIdempotent,
}

/// A response, which the table of its system interprets: see [`classification`].
#[derive(Clone, Debug)]
pub struct HttpResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Reason why a call has no response.
#[derive(Debug)]
pub enum TransportError {
    /// The other system was not reached, so the request was not performed.
    Unreachable(reqwest::Error),
    /// The time ran out before the response. The request may have been performed.
    TimedOut,
    /// The connection broke. The request may have been performed.
    Broken(reqwest::Error),
    /// The response was larger than allowed.
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

/// Maximum size of a response body in bytes. Lambda itself cannot return more than 6 MiB.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// Maximum number of attempts, including the first one.
const MAX_ATTEMPTS: u32 = 3;

impl HttpClient {
    /// Sends a request within the deadline, up to three times if the policy
    /// and the retry budget allow.
    ///
    /// # Errors
    /// Returns the error of the last attempt. A response with any status is not an error.
    pub async fn send(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<HttpResponse, TransportError> {
        let mut request = Some(request);
        let mut tries = 0;
        let begun = Instant::now();
        loop {
            tries += 1;
            // Streamed bodies cannot be sent twice. Without a clone this attempt is the last one.
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

    /// Updates the retry budget for an outcome that is not retried. It may be a failure that
    /// a retry would not resolve.
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
            let status = response.status();
            let headers = response.headers().clone();
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
    /// Removes the URL from the error, since it can hold the id of an organisation or a user.
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        match () {
            () if error.is_connect() => Self::Unreachable(error),
            () if error.is_timeout() => Self::TimedOut,
            () => Self::Broken(error),
        }
    }
}

/// Records the outcome in the span of the call, and logs a warning if the response is missing.
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
