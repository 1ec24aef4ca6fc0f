//! Serves an HTTP endpoint that streams events. Every response, also an error, has the format that
//! Lambda expects of a streaming function, for events of function URLs and of REST APIs.

use std::{
    convert::Infallible,
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use lambda_http::http::{self as http_types, HeaderValue, StatusCode, header};
use lambda_runtime::{LambdaEvent, MetadataPrelude, StreamResponse};
use tracing::{Instrument, Span};

use crate::{
    auth,
    error::{Error, ErrorCode},
    http::{EventStream, Response, Route, StreamingRequest, StreamingResponse, cors::Cors},
    platform::{
        config::{self, Environment},
        event_stream::{self, EventReceiver, EventSender},
        http_client::{Deadline, HttpClient},
        secret::Secret,
        telemetry,
    },
    runtime::{
        Dependencies, Reported,
        event::Payload,
        http_edge::{HttpEdge, ResponseBody, RoutedRequest, log_error, log_status, panicked},
        http_service::{BoxError, WARM_UP, bootstrap},
        runtime_api,
    },
};

/// Request headers that ChatKit.js sends in addition to those of the API.
const CHATKIT_HEADERS: [&str; 2] = ["accept-language", "chatkit-frame-instance-id"];

/// An HTTP endpoint that can stream events: one route and its handler. It authenticates the bearer
/// value itself.
pub trait StreamingEndpoint: Send + Sync + Sized + 'static {
    const ROUTE: Route;

    /// Builds the dependencies that the endpoint needs, and no others. Request all of them before
    /// unwrapping the first, so that all configuration errors are reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Prepares for the first request at startup, for example opens connections. It cannot report a
    /// failure: the first request does.
    fn warm_up(&self, _deadline: Deadline) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Handles a request with a bearer value.
    ///
    /// # Errors
    /// An error before the stream becomes problem details.
    fn handle(
        &self,
        request: StreamingRequest,
    ) -> impl Future<Output = Result<StreamingResponse, Error>> + Send;
}

/// Serves an endpoint that streams until Lambda ends the process.
pub fn serve_streaming<F: StreamingEndpoint>() -> ExitCode {
    bootstrap::<F>(run::<F>())
}

async fn run<F: StreamingEndpoint>() -> Result<(), BoxError> {
    let http = HttpClient::new()?;
    let environment = Environment::from_process().with_secrets(&http).await;
    let service = Arc::new(StreamingService::<F>::new(environment, http)?);
    service.function.warm_up(Deadline::after(WARM_UP)).await;
    runtime_api::run_streaming(move |event| {
        let service = Arc::clone(&service);
        async move { service.serve_streamed(event).await }
    })
    .await
}

/// An endpoint that streams, with CORS and error handling: [`serve_streaming`] runs it, and tests
/// can call it without the Lambda runtime.
pub struct StreamingService<F> {
    function: F,
    edge: HttpEdge,
}

impl<F: StreamingEndpoint> StreamingService<F> {
    /// Builds an endpoint and its dependencies from this environment.
    ///
    /// # Errors
    /// Returns all configuration errors.
    pub fn new(environment: Environment, http: HttpClient) -> Result<Self, config::ConfigErrors> {
        let mut dependencies = Dependencies::new(environment, http);
        let function = F::new(&mut dependencies);
        let cors = dependencies.cors();
        let built = function.and_then(|function| {
            let edge = HttpEdge { route: F::ROUTE, cors: Cors::new(cors?, &CHATKIT_HEADERS) };
            Ok(Self { function, edge })
        });
        dependencies.build(built)
    }

    /// Responds to an event of either payload format.
    pub async fn serve_streamed(&self, event: LambdaEvent<Payload>) -> StreamResponse<StreamedBody> {
        let (parts, body) = self.answer(event).await.into_parts();
        let (status_code, headers) = (parts.status, parts.headers);
        let metadata_prelude = MetadataPrelude { status_code, headers, cookies: Vec::new() };
        StreamResponse { metadata_prelude, stream: body }
    }

    /// Responds to any event. The log record is written at the end of the response.
    pub async fn answer(&self, event: LambdaEvent<Payload>) -> http_types::Response<StreamedBody> {
        self.edge.answer(event, |request| self.respond(request)).await
    }

    async fn respond(&self, request: RoutedRequest) -> Result<http_types::Response<StreamedBody>, Error> {
        let RoutedRequest { path_id: _, query: _, headers, body, deadline, request_id } = request;
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = authorization.and_then(auth::bearer).map(Secret::new);
        let bearer = bearer.ok_or_else(|| Error::new(ErrorCode::MissingClientSecret))?;
        let request = StreamingRequest { bearer, headers, deadline, request_id, body };
        Ok(match self.function.handle(request).await? {
            StreamingResponse::Buffered(response) => {
                Response::into_response(response).map(StreamedBody::from)
            }
            StreamingResponse::Events(stream) => start(stream, deadline),
        })
    }
}

/// Starts the work of a stream in a task of its own, and responds with its events.
fn start(stream: EventStream, deadline: Deadline) -> http_types::Response<StreamedBody> {
    let (sender, events) = event_stream::channel();
    let span = Span::current();
    tokio::spawn(async move {
        run_stream(stream, &sender, deadline).instrument(span).await;
        // Lambda may freeze the process as soon as the response has ended.
        telemetry::flush().await;
        sender.end();
    });
    let mut response = http_types::Response::new(StreamedBody(Content::Events(events)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // A proxy that transforms the response, or nginx, would hold events back.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Runs the work of a stream within the deadline, reports a failure to the client, and completes
/// the log record. The record of a failed stream has the status that its error would have had
/// before the stream.
async fn run_stream(stream: EventStream, sender: &EventSender, deadline: Deadline) {
    let work = AssertUnwindSafe(stream.run(sender.clone())).catch_unwind();
    let outcome = match tokio::time::timeout(deadline.remaining(), work).await {
        Ok(Ok(Ok(()))) if !sender.has_sent() => {
            Err(Error::new(ErrorCode::Internal).cause("the stream has no event"))
        }
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(panicked()),
        Err(_elapsed) => Err(Error::new(ErrorCode::DeadlineExceeded)),
    };
    if sender.has_overflowed() {
        tracing::warn!("the client reads too slowly, so its stream ended early");
    }
    match outcome {
        Ok(()) => log_status(StatusCode::OK),
        Err(error) => {
            sender.send_failure();
            log_error(&error);
        }
    }
}

/// The body of a response of a streaming function. It cannot fail: Lambda's runtime would write the
/// error into the body.
pub struct StreamedBody(Content);

enum Content {
    /// Read at once, and empty afterwards.
    Buffered(Bytes),
    Events(EventReceiver),
}

impl From<Vec<u8>> for StreamedBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Buffered(bytes.into()))
    }
}

impl ResponseBody for StreamedBody {
    fn is_complete(&self) -> bool {
        matches!(self.0, Content::Buffered(_))
    }

    /// Adds a body. Front ends may wait for the first byte of a streamed body, and status 204 does
    /// not have one.
    fn preflight(response: http_types::Response<Vec<u8>>) -> http_types::Response<Self> {
        let mut response = response.map(|_| Self::from(b"\n".to_vec()));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

impl Stream for StreamedBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Content::Buffered(bytes) => {
                let bytes = mem::take(bytes);
                Poll::Ready(Some(bytes).filter(|bytes| !bytes.is_empty()).map(Ok))
            }
            Content::Events(events) => Pin::new(events).poll_next(context).map(|event| event.map(Ok)),
        }
    }
}

#[cfg(test)]
#[path = "streaming_tests.rs"]
mod tests;
