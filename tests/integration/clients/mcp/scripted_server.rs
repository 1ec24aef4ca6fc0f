//! A server that says what a test has written down, whatever that is.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use futures_util::stream;
use local_stack::http::{Port, Server};
use serde_json::{Value, json};

/// What is said to one request. `ID` in a body stands for the request's id.
#[derive(Clone)]
pub struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    pieces: bool,
    hangs: bool,
    silent: bool,
}

impl Said {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), pieces: false, hangs: false, silent: false }
    }

    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200).header("content-type", "application/json").body(body)
    }

    /// A result, or an error, under the request's id.
    pub fn rpc(member: &str, value: &Value) -> Self {
        Self::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "{member}": {value}}}"#))
    }

    pub fn events(body: impl Into<String>) -> Self {
        Self::status(200).header("content-type", "text/event-stream").body(body)
    }

    /// Not even a head.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::status(200) }
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(given, _)| *given != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// A byte at a time.
    pub fn in_pieces(mut self) -> Self {
        self.pieces = true;
        self
    }

    /// The head, and then nothing more.
    pub fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }

    fn response(&self, id: &Value) -> Response<Body> {
        let body = Bytes::from(self.body.replace("ID", &id.to_string()));
        let body = match (self.hangs, self.pieces) {
            (true, _) => Body::from_stream(stream::once(pending::<Result<Bytes, Infallible>>())),
            (_, true) => {
                let bytes: Vec<_> =
                    (0..body.len()).map(|at| Ok::<_, Infallible>(body.slice(at..=at))).collect();
                Body::from_stream(stream::iter(bytes))
            }
            _ => Body::from(body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in &self.headers {
            let name = HeaderName::from_static(name);
            response.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        response
    }
}

/// What a server says to what. A list is gone through, its last entry for ever.
#[derive(Clone)]
pub struct Script {
    pub probe: Vec<Said>,
    pub initialize: Vec<Said>,
    pub notice: Said,
    pub call: Vec<Said>,
}

/// What an older server says, and to the call that all is well.
impl Default for Script {
    fn default() -> Self {
        Self {
            probe: vec![Said::status(400)],
            initialize: vec![initialized("2025-06-18").header("mcp-session-id", "s-1")],
            notice: Said::status(202),
            call: vec![well()],
        }
    }
}

/// The answer to `initialize`.
pub fn initialized(revision: &str) -> Said {
    let info = json!({"name": "scripted", "version": "1"});
    Said::rpc("result", &json!({"protocolVersion": revision, "capabilities": {}, "serverInfo": info}))
}

/// The answer to the probe of a server of the newest revision.
pub fn discovered() -> Said {
    let result = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private"});
    Said::rpc("result", &result)
}

/// A result that says that all is well.
pub fn well() -> Said {
    Said::rpc("result", &json!({"content": [{"type": "text", "text": "All is well."}]}))
}

/// A running server.
pub struct Scripted {
    server: Server,
    shared: Shared,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<(Script, Vec<String>)>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Script, Vec<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scripted {
    pub async fn start(script: Script) -> Result<Self> {
        let shared = Shared(Arc::new(Mutex::new((script, Vec::new()))));
        let router = Router::new().route("/mcp", axum::routing::any(answer)).with_state(shared.clone());
        Ok(Self { server: Port::free().await?.serve(router), shared })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", self.server.url())
    }

    /// What came: methods of MCP, or of HTTP with the session.
    pub fn seen(&self) -> Vec<String> {
        self.shared.lock().1.clone()
    }

    /// How often that came.
    pub fn count(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == what).count()
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let session = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let said = {
        let mut shared = shared.lock();
        said(&mut shared, &method, &message, session)
    };
    if said.silent {
        pending::<()>().await;
    }
    said.response(&message["id"])
}

fn said(shared: &mut (Script, Vec<String>), method: &Method, message: &Value, session: &str) -> Said {
    let rpc = message["method"].as_str().unwrap_or_default().to_owned();
    shared.1.push(if *method == Method::POST { rpc.clone() } else { format!("{method} {session}") });
    let next = |list: &mut Vec<Said>| if list.len() > 1 { list.remove(0) } else { list[0].clone() };
    match rpc.as_str() {
        _ if *method != Method::POST => Said::status(200),
        "server/discover" => next(&mut shared.0.probe),
        "initialize" => next(&mut shared.0.initialize),
        "tools/call" => next(&mut shared.0.call),
        _ => shared.0.notice.clone(),
    }
}
