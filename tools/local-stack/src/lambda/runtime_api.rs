//! Lambda's Runtime API, one server per process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};

use super::response::InvocationFailure;
use crate::http::{Port, Server};

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
    /// Receives the response.
    pub responder: oneshot::Sender<Result<Bytes, InvocationFailure>>,
}

/// The Runtime API of one process.
pub struct RuntimeApi {
    server: Server,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Invocation>,
}

struct Shared {
    arn: String,
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Result<Bytes, InvocationFailure>>>>,
    init_error: Mutex<Option<String>>,
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
    running.insert(invocation.id.clone(), invocation.responder);
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header("lambda-runtime-aws-request-id", invocation.id)
        .header("lambda-runtime-deadline-ms", deadline.to_string())
        .header("lambda-runtime-invoked-function-arn", &shared.arn)
        .header("lambda-runtime-trace-id", invocation.trace_id)
        .body(Body::from(invocation.event));
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn post_response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    finish(&shared, &id, Ok(body))
}

async fn post_error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: String) -> StatusCode {
    finish(&shared, &id, Err(InvocationFailure::Reported(body)))
}

fn finish(shared: &Shared, id: &str, answer: Result<Bytes, InvocationFailure>) -> StatusCode {
    let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    match running {
        Some(waiting) => {
            let _ = waiting.send(answer);
            StatusCode::ACCEPTED
        }
        // Not an event of this process, or it already has a response.
        None => StatusCode::BAD_REQUEST,
    }
}

async fn init_error(State(shared): State<Arc<Shared>>, body: String) -> StatusCode {
    *shared.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    StatusCode::ACCEPTED
}
