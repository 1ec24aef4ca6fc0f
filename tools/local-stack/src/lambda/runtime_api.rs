//! Lambda's Runtime API, one server per process.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{mpsc, oneshot};

use super::response::{InvocationFailure, MAX_RESPONSE_BYTES};
use crate::http::{Port, Server};

/// The header by which a function announces that it streams its response.
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

/// The trailers of a streamed response that failed. The body is base64-encoded.
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// The largest streamed response that Lambda accepts from a function.
const MAX_STREAM_BYTES: usize = 200 * 1024 * 1024;

/// A complete response of a function.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Buffered(Bytes),
    /// The response was passed on while the function streamed it.
    Streamed,
}

impl Answer {
    /// Returns the whole response of an event that was sent without a stream.
    pub fn into_buffered(self) -> Result<Bytes, InvocationFailure> {
        match self {
            Self::Buffered(answer) => Ok(answer),
            Self::Streamed => Err(InvocationFailure::InvalidResponse(
                "expected a whole response, found a stream".to_owned(),
            )),
        }
    }
}

/// One event for a process.
pub struct Invocation {
    /// Lambda's request id.
    pub id: String,
    /// X-Ray's trace id.
    pub trace_id: String,
    /// The event, as JSON.
    pub event: Bytes,
    /// Time limit of the function, from the start of the event.
    pub timeout: Duration,
    /// Notified when the function starts the event.
    pub started: oneshot::Sender<()>,
    /// Receives the parts of a streamed response. `None` if the client does not accept a stream, so
    /// that Lambda buffers the response.
    pub stream: Option<mpsc::Sender<Bytes>>,
    /// Receives the response when it is complete.
    pub responder: Responder,
}

type Responder = oneshot::Sender<Result<Answer, InvocationFailure>>;

/// The Runtime API of one process.
pub struct RuntimeApi {
    server: Server,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Invocation>,
}

struct Shared {
    arn: String,
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, RunningInvocation>>,
    init_error: Mutex<Option<String>>,
}

struct RunningInvocation {
    stream: Option<mpsc::Sender<Bytes>>,
    responder: Responder,
}

impl RuntimeApi {
    /// Starts a Runtime API for a process of this function.
    pub async fn start(function: &str) -> Result<Self> {
        let (queue, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            arn: format!("arn:aws:lambda:local:123456789012:function:{function}"),
            queue: tokio::sync::Mutex::new(events),
            running: Mutex::default(),
            init_error: Mutex::default(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(post_response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(post_error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        Ok(Self { server: Port::free().await?.serve(router), shared, queue })
    }

    /// `127.0.0.1:PORT`, in the format of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Queues an event for the process.
    pub fn send(&self, invocation: Invocation) {
        // The receiver lives as long as `shared`.
        let _ = self.queue.send(invocation);
    }

    /// Returns the error with which the process failed to start.
    pub fn init_error(&self) -> Option<String> {
        self.shared.init_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response<Body> {
    // An idle process waits here.
    let Some(invocation) = shared.queue.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = (now + invocation.timeout).as_millis();
    let _ = invocation.started.send(());
    let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    let (stream, responder) = (invocation.stream, invocation.responder);
    running.insert(invocation.id.clone(), RunningInvocation { stream, responder });
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header("lambda-runtime-aws-request-id", invocation.id)
        .header("lambda-runtime-deadline-ms", deadline.to_string())
        .header("lambda-runtime-invoked-function-arn", &shared.arn)
        .header("lambda-runtime-trace-id", invocation.trace_id)
        .body(Body::from(invocation.event));
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn post_response(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> StatusCode {
    let Some(RunningInvocation { stream, responder }) = shared.take_running(&id) else {
        return StatusCode::BAD_REQUEST;
    };
    let answer = read_answer(request, stream).await;
    let status = match &answer {
        Ok(_) => StatusCode::ACCEPTED,
        Err(InvocationFailure::InvalidResponse(_)) => StatusCode::BAD_REQUEST,
        Err(_) => StatusCode::ACCEPTED,
    };
    let _ = responder.send(answer);
    status
}

/// Reads a response. A streamed one is passed on part by part.
async fn read_answer(
    request: Request<Body>,
    stream: Option<mpsc::Sender<Bytes>>,
) -> Result<Answer, InvocationFailure> {
    let invalid = |why: &str| InvocationFailure::InvalidResponse(why.to_owned());
    let (parts, body) = request.into_parts();
    match parts.headers.get(RESPONSE_MODE) {
        None => {
            let body = to_bytes(body, usize::MAX).await.map_err(|error| broken(&error))?;
            return Ok(Answer::Buffered(body));
        }
        Some(mode) if mode == "streaming" => {}
        Some(_) => return Err(invalid("the response mode is unknown")),
    }
    if parts.headers.get(header::TRANSFER_ENCODING).is_none_or(|coding| coding != "chunked") {
        return Err(invalid("the streamed response is not chunked"));
    }
    let limit = if stream.is_some() { MAX_STREAM_BYTES } else { MAX_RESPONSE_BYTES };
    let mut parts = Parts { body, size: 0, limit };
    match stream {
        Some(stream) => {
            while let Some(part) = parts.next().await? {
                // Lambda does not notify a function that its client has left.
                let _ = stream.send(part).await;
            }
            Ok(Answer::Streamed)
        }
        None => {
            let mut collected = Vec::new();
            while let Some(part) = parts.next().await? {
                collected.extend_from_slice(&part);
            }
            Ok(Answer::Buffered(collected.into()))
        }
    }
}

/// The parts of a streamed response.
struct Parts {
    body: Body,
    size: usize,
    limit: usize,
}

impl Parts {
    /// Returns the next part; `None` at the end. Its trailers may report an error.
    async fn next(&mut self) -> Result<Option<Bytes>, InvocationFailure> {
        while let Some(frame) = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
            match frame.map_err(|error| broken(&error))?.into_data() {
                Ok(part) => {
                    self.size += part.len();
                    if self.size > self.limit {
                        let failure = format!("more than {} bytes are streamed", self.limit);
                        return Err(InvocationFailure::InvalidResponse(failure));
                    }
                    return Ok(Some(part));
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    if let Some(failure) = stream_error(&trailers) {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Returns the error in the trailers of a streamed response.
fn stream_error(trailers: &HeaderMap) -> Option<InvocationFailure> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(ERROR_TYPE)?;
    let body = text(ERROR_BODY).and_then(|body| STANDARD.decode(body).ok()).unwrap_or_default();
    Some(InvocationFailure::Reported(format!("{kind}: {}", String::from_utf8_lossy(&body))))
}

/// Returns the failure for a response whose connection broke, mostly because the process ended.
fn broken(error: &axum::Error) -> InvocationFailure {
    InvocationFailure::Exited(format!("the response broke off: {error}"))
}

async fn post_error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: String) -> StatusCode {
    match shared.take_running(&id) {
        Some(running) => {
            let _ = running.responder.send(Err(InvocationFailure::Reported(body)));
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}

impl Shared {
    /// Removes an event. `None` if it is not an event of this process, or already has a response.
    fn take_running(&self, id: &str) -> Option<RunningInvocation> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

async fn init_error(State(shared): State<Arc<Shared>>, body: String) -> StatusCode {
    *shared.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    StatusCode::ACCEPTED
}
