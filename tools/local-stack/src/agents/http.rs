//! The HTTP layer of an agent: records requests, applies faults, passes the rest to rmcp.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use futures_util::{StreamExt, future, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;

use super::behaviour::Behaviour;
use super::fault::{Effect, Fault};
use super::handler::Handler;
use super::request_log::{AgentState, RecordedCall, SentResponse};
use super::revision::Revision;
use crate::http::{LatencyRecorder, wait_for_flush};

const MAX_BODY_BYTES: usize = 8 << 20;

/// Names the fault whose result the handler returns. In an MCP session the handler is older than
/// the request, so a header carries it.
pub(super) const FAULT_HEADER: HeaderName = HeaderName::from_static("x-ordered-by-fault");

/// State that all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<AgentState>,
    pub(super) latency: LatencyRecorder,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, AgentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(super) struct AgentServer {
    pub(super) behaviour: Behaviour,
    pub(super) revision: Revision,
    pub(super) streams: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) sessions: Arc<LocalSessionManager>,
}

/// Makes hyper close the connection without a response.
#[derive(Debug)]
struct ConnectionDropped;

impl fmt::Display for ConnectionDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for ConnectionDropped {}

impl AgentServer {
    /// Serves until `stop` changes or its sender is dropped; then every connection closes.
    pub(super) async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<()>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            if let Ok((stream, _)) = accepted {
                tokio::spawn(self.clone().connection(stream, stop.clone()));
            }
        }
    }

    async fn connection(self, stream: TcpStream, mut stop: watch::Receiver<()>) {
        // A response of two small writes would otherwise wait for the client's acknowledgement.
        stream.set_nodelay(true).ok();
        let stream = self.shared.latency.measure(stream);
        let service = service_fn(move |request| self.clone().handle(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            _ = stop.changed() => {}
        }
    }

    async fn handle(self, request: hyper::Request<Incoming>) -> Result<Response<Body>, ConnectionDropped> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), MAX_BODY_BYTES).await.map_err(|_| ConnectionDropped)?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let rpc = message["method"].as_str().unwrap_or_default().to_owned();
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let call = RecordedCall {
            method: parts.method.to_string(),
            rpc: rpc.clone(),
            params: message["params"].clone(),
            headers: parts.headers.iter().map(header).collect(),
            at: SystemTime::now(),
            sent: SentResponse::Nothing,
        };
        let (index, fault) = {
            let mut state = self.shared.lock();
            let sent = call.header("authorization");
            let accepted = state.bearer.as_ref().map(|bearer| format!("Bearer {bearer}"));
            let is_refused = accepted.is_some_and(|accepted| sent != Some(&accepted));
            state.calls.push(call);
            if is_refused {
                return Ok(unauthorized());
            }
            let fault = if parts.method == Method::POST { state.faults.take(&rpc) } else { None };
            (state.calls.len() - 1, fault)
        };
        let request = Request::from_parts(parts, Body::from(body));
        let shared = self.shared.clone();
        let replacement = fault.as_ref().and_then(|(_, fault)| fault.effect.replacement());
        let answer = match fault {
            None => self.work(request).await,
            // In its own task: a client that disconnects does not stop the work.
            Some((index, fault)) => tokio::spawn(self.handle_with_fault(request, index, fault))
                .await
                .map_err(|_| ConnectionDropped)?,
        }?;
        if let Some(call) = shared.lock().calls.get_mut(index) {
            call.sent = replacement.unwrap_or_else(|| SentResponse::Complete(SystemTime::now()));
        }
        Ok(answer)
    }

    async fn handle_with_fault(
        self,
        mut request: Request<Body>,
        index: usize,
        fault: Fault,
    ) -> Result<Response<Body>, ConnectionDropped> {
        tokio::time::sleep(fault.delay).await;
        match &fault.effect {
            Effect::DropBefore => return Err(ConnectionDropped),
            Effect::Status(status) => return Ok(status_response(*status, &fault)),
            Effect::Result(_) => drop(request.headers_mut().insert(FAULT_HEADER, HeaderValue::from(index))),
            _ => {}
        }
        let (parts, body) = self.work(request).await?.into_parts();
        // The work is done when the response has been read to its end.
        let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ConnectionDropped)?;
        tokio::time::sleep(fault.late).await;
        match fault.effect {
            Effect::DropAfter => Err(ConnectionDropped),
            Effect::Cut => Ok(Response::from_parts(parts, cut(body))),
            Effect::HtmlBody => Ok(page("text/html", "<html><p>Not the requested response.")),
            Effect::Body(body) => Ok(page("application/json", body.to_string())),
            _ => Ok(Response::from_parts(parts, Body::from(body))),
        }
    }

    async fn work(self, mut request: Request<Body>) -> Result<Response<Body>, ConnectionDropped> {
        // rmcp accepts only host names that it is configured for.
        request.headers_mut().insert(HOST, HeaderValue::from_static("127.0.0.1"));
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(self.revision != Revision::V20260728)
            .with_json_response(!self.streams)
            .with_sse_retry(Some(Duration::from_millis(50)));
        let Self { behaviour, revision, shared, sessions, .. } = self;
        let handler = move || Ok(Handler { behaviour, revision, shared: shared.clone() });
        let answer: Result<_, Infallible> =
            StreamableHttpService::new(handler, sessions, config).oneshot(request).await;
        answer.map(|answer| answer.map(Body::new)).map_err(|_| ConnectionDropped)
    }
}

fn status_response(status: u16, fault: &Fault) -> Response<Body> {
    let mut response = page("application/json", r#"{"error": "rejected"}"#);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn unauthorized() -> Response<Body> {
    let mut response = page("application/json", r#"{"error": "invalid_token"}"#);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

fn page(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

/// Returns the first half of a body, after which the connection breaks.
fn cut(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let half = stream::once(future::ready(Ok(half)));
    let end = stream::once(async {
        wait_for_flush().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Body::from_stream(half.chain(end))
}
