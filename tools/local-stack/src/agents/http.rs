//! The HTTP in front of an agent: written down, hit by a fault if one was ordered, and otherwise rmcp's.

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

use super::behaviour::Trade;
use super::fault::{Effect, Fault};
use super::handler::Handler;
use super::request_log::{Call, Memory, Sent};
use super::revision::Revision;

/// Largest body that is read.
const LARGEST_BODY: usize = 8 << 20;

/// Tells the handler, which in a session is an older one than the request, which fault's result to answer with.
pub(super) const ORDERED: HeaderName = HeaderName::from_static("x-ordered-by-fault");

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Memory>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One agent's server.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) trade: Trade,
    pub(super) revision: Revision,
    pub(super) streams: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) sessions: Arc<LocalSessionManager>,
}

/// The connection is to be closed without a word.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

impl Front {
    /// Serves until `stop` changes or its sender is dropped; then every connection ends at once.
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
        // An answer of two small writes would otherwise wait for the caller's acknowledgement.
        stream.set_nodelay(true).ok();
        let service = service_fn(move |request| self.clone().exchange(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            _ = stop.changed() => {}
        }
    }

    async fn exchange(self, request: hyper::Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), LARGEST_BODY).await.map_err(|_| Dropped)?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let rpc = message["method"].as_str().unwrap_or_default().to_owned();
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let call = Call {
            method: parts.method.to_string(),
            rpc: rpc.clone(),
            params: message["params"].clone(),
            headers: parts.headers.iter().map(header).collect(),
            at: SystemTime::now(),
            sent: Sent::Nothing,
        };
        let (place, fault) = {
            let mut memory = self.shared.lock();
            memory.calls.push(call);
            let fault = if parts.method == Method::POST { memory.faults.take(&rpc) } else { None };
            (memory.calls.len() - 1, fault)
        };
        let request = Request::from_parts(parts, Body::from(body));
        let shared = self.shared.clone();
        let spoilt = fault.as_ref().and_then(|(_, fault)| fault.effect.spoils());
        let answer = match fault {
            None => self.work(request).await,
            // A task of its own: a caller who hangs up does not stop the work.
            Some((place, fault)) => {
                tokio::spawn(self.faulty(request, place, fault)).await.map_err(|_| Dropped)?
            }
        }?;
        if let Some(call) = shared.lock().calls.get_mut(place) {
            call.sent = spoilt.unwrap_or_else(|| Sent::Answer(SystemTime::now()));
        }
        Ok(answer)
    }

    async fn faulty(
        self,
        mut request: Request<Body>,
        place: usize,
        fault: Fault,
    ) -> Result<Response<Body>, Dropped> {
        tokio::time::sleep(fault.delay).await;
        match &fault.effect {
            Effect::DropBefore => return Err(Dropped),
            Effect::Refuse(status) => return Ok(refusal(*status, &fault)),
            Effect::Result(_) => drop(request.headers_mut().insert(ORDERED, HeaderValue::from(place))),
            _ => {}
        }
        let (parts, body) = self.work(request).await?.into_parts();
        // The work is done once the answer has been read to its end.
        let body = to_bytes(body, LARGEST_BODY).await.map_err(|_| Dropped)?;
        tokio::time::sleep(fault.late).await;
        match fault.effect {
            Effect::DropAfter => Err(Dropped),
            Effect::Cut => Ok(Response::from_parts(parts, cut(body))),
            Effect::Nonsense => Ok(page("text/html", "<html><p>Not what you asked for.")),
            Effect::Body(body) => Ok(page("application/json", body.to_string())),
            _ => Ok(Response::from_parts(parts, Body::from(body))),
        }
    }

    async fn work(self, mut request: Request<Body>) -> Result<Response<Body>, Dropped> {
        // rmcp wants to be asked by a name that it knows for its own.
        request.headers_mut().insert(HOST, HeaderValue::from_static("127.0.0.1"));
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(self.revision != Revision::V20260728)
            .with_json_response(!self.streams)
            .with_sse_retry(Some(Duration::from_millis(50)));
        let Self { trade, revision, shared, sessions, .. } = self;
        let handler = move || Ok(Handler { trade, revision, shared: shared.clone() });
        let answer: Result<_, Infallible> =
            StreamableHttpService::new(handler, sessions, config).oneshot(request).await;
        answer.map(|answer| answer.map(Body::new)).map_err(|_| Dropped)
    }
}

fn refusal(status: u16, fault: &Fault) -> Response<Body> {
    let mut response = page("application/json", r#"{"error": "refused"}"#);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn page(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

/// Half of a body, and then the connection breaks.
fn cut(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let half = stream::once(future::ready(Ok(half)));
    let end = stream::once(async {
        // Time for the half to leave: with the error the connection closes at once.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Body::from_stream(half.chain(end))
}
