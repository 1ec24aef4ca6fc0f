//! The request and the response of an endpoint that streams events.

use futures_util::{FutureExt, future::BoxFuture};
use lambda_http::http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    domain::idempotency::IdempotencyKey,
    error::Error,
    http::{Response, body},
    platform::{event_stream::EventSender, http_client::Deadline, secret::Secret},
};

/// A request that matches the function's route. Its bearer value is not verified.
#[derive(Debug)]
pub struct StreamingRequest {
    /// The value of `Authorization: Bearer …`.
    pub bearer: Secret,
    pub headers: HeaderMap,
    pub deadline: Deadline,
    /// The id in the log line and in the header `X-Request-Id`.
    pub request_id: String,
    pub(crate) body: Vec<u8>,
}

impl StreamingRequest {
    /// Parses the body, which must be a JSON object.
    ///
    /// # Errors
    /// The same as [`Request::json`](crate::http::Request::json).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        body::parse_object(&self.headers, &self.body)
    }

    /// Parses the body as any JSON value.
    ///
    /// # Errors
    /// The same as [`Request::json`](crate::http::Request::json).
    pub fn json_value(&self) -> Result<Value, Error> {
        body::parse_json(&self.headers, &self.body)
    }

    /// Returns the idempotency key of the request, bound to its body, if it has one.
    ///
    /// # Errors
    /// The same as [`Request::idempotency_key`](crate::http::Request::idempotency_key).
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Error> {
        body::idempotency_key(&self.headers, &self.body)
    }

    /// Returns the text of a header, if the request has the header and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The response of an endpoint that streams.
#[derive(Debug)]
pub enum StreamingResponse {
    Buffered(Response),
    /// Status 200 and a stream of events.
    Events(EventStream),
}

/// The work that sends the events of a response. It has not started yet.
pub struct EventStream {
    work: Box<dyn FnOnce(EventSender) -> BoxFuture<'static, Result<(), Error>> + Send>,
}

impl EventStream {
    /// Creates a stream. The work runs in a task of its own, in the span of the request, and goes
    /// on when the client has left. The response ends when the work has ended, so nothing must run
    /// after it: Lambda may freeze the process.
    ///
    /// If the work returns an error, panics, or does not send an event, the client receives
    /// ChatKit's error event with `stream.error`, unless the work has sent its last event. The
    /// error is in the log line. At the deadline the work is dropped.
    pub fn new<F>(work: impl FnOnce(EventSender) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self { work: Box::new(|sender| work(sender).boxed()) }
    }

    pub(crate) async fn run(self, sender: EventSender) -> Result<(), Error> {
        (self.work)(sender).await
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").finish_non_exhaustive()
    }
}
