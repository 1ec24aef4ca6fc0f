//! HTTP client for configured systems, with deadlines, retries and a limit on response size. Every
//! call to such a system goes through [`HttpClient::send`] or [`HttpClient::send_streamed`], except
//! those of AWS's SDK, which has limits of its own.

#[cfg(feature = "runtime-secrets")]
pub mod aws_connector;
pub mod classification;
mod client;
mod deadline;
mod retry_after;
mod retry_budget;
mod streamed;

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Request, StatusCode, header::HeaderMap};
use tracing::Instrument;

use crate::platform::telemetry;

pub use client::HttpClient;
pub use deadline::Deadline;
pub use retry_after::retry_after;
pub use streamed::{ResponseStream, Streamed};

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

/// The next step after a response.
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

/// Which responses an attempt reads to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadBody {
    Always,
    UnlessSuccess,
}

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
        match self.send_with_retries(request, policy, deadline, ReadBody::Always).await? {
            Streamed::Response(response) => Ok(response),
            Streamed::Body(body) => Ok(body.head()),
        }
    }

    /// Sends a request like [`HttpClient::send`], and returns a success with its body unread. The
    /// timeout of an attempt ends when the response begins.
    ///
    /// # Errors
    /// Returns the error of the last attempt. A response with any status is not an error.
    pub async fn send_streamed(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<Streamed, TransportError> {
        self.send_with_retries(request, policy, deadline, ReadBody::UnlessSuccess).await
    }

    async fn send_with_retries(
        &self,
        request: Request,
        policy: RetryPolicy,
        deadline: Deadline,
        read_body: ReadBody,
    ) -> Result<Streamed, TransportError> {
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
            let sent = self.send_once(current, within, read_body).instrument(call.clone()).await;
            let (outcome, body) = match sent {
                Ok(Streamed::Response(response)) => (Ok(response), None),
                Ok(Streamed::Body(body)) => (Ok(body.head()), Some(body)),
                Err(failure) => (Err(failure), None),
            };
            record_outcome(call, &outcome, policy);
            if let Some(body) = body {
                self.update_budget(&outcome, policy);
                return Ok(Streamed::Body(body));
            }
            let Some(pause) = retry_after::pause(&outcome, policy, tries) else {
                self.update_budget(&outcome, policy);
                return outcome.map(Streamed::Response);
            };
            let affordable = self.budget().failed(policy.system);
            let in_time = pause < deadline.remaining() && begun.elapsed() + pause < policy.retry_window;
            if !(affordable && in_time && tries < MAX_ATTEMPTS && request.is_some()) {
                return outcome.map(Streamed::Response);
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
        read_body: ReadBody,
    ) -> Result<Streamed, TransportError> {
        telemetry::inject_traceparent(request.headers_mut());
        let exchange = async {
            let mut response = self.client().execute(request).await.map_err(TransportError::from)?;
            let status = response.status();
            if status.is_success() && read_body == ReadBody::UnlessSuccess {
                return Ok(Streamed::Body(ResponseStream::new(response)));
            }
            let headers = response.headers().clone();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(TransportError::from)? {
                if body.len() + chunk.len() > MAX_RESPONSE {
                    return Err(TransportError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Streamed::Response(HttpResponse { status, headers, body: body.into() }))
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(TransportError::TimedOut))
    }
}

impl From<reqwest::Error> for TransportError {
    /// Removes the URL from the error, since it can hold the id of an organisation or a user.
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Unreachable(error)
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Broken(error)
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
