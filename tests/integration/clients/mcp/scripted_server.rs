//! An MCP server whose responses a test defines.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use futures_util::future::try_join_all;
use futures_util::stream;
use local_stack::http::{Port, Server};
use serde_json::{Value, json};
use shared::clients::mcp::{CallError, Target, ToolResult};

use super::{call, client, completed, payment, target};

/// Long enough for a call on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The response to one request. `ID` in a body is replaced by the request's id.
#[derive(Clone)]
pub struct ScriptedResponse {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    single_bytes: bool,
    stalled: bool,
    no_response: bool,
}

impl ScriptedResponse {
    pub fn status(status: u16) -> Self {
        let (headers, body) = (Vec::new(), String::new());
        Self { status, headers, body, single_bytes: false, stalled: false, no_response: false }
    }

    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200).header("content-type", "application/json").body(body)
    }

    /// A JSON-RPC result or error.
    pub fn rpc(member: &str, value: &Value) -> Self {
        Self::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "{member}": {value}}}"#))
    }

    pub fn event_stream(body: impl Into<String>) -> Self {
        Self::status(200).header("content-type", "text/event-stream").body(body)
    }

    /// Receives the request and never responds.
    pub fn no_response() -> Self {
        Self { no_response: true, ..Self::status(200) }
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

    /// Sends the body one byte at a time.
    pub fn in_single_bytes(mut self) -> Self {
        self.single_bytes = true;
        self
    }

    /// Sends the headers, but no byte of the body.
    pub fn stalled(mut self) -> Self {
        self.stalled = true;
        self
    }

    fn to_http(&self, id: &Value) -> Response<Body> {
        let body = Bytes::from(self.body.replace("ID", &id.to_string()));
        let body = match (self.stalled, self.single_bytes) {
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

/// The responses of a server. Each request takes the next entry of its list, and the last entry
/// repeats.
#[derive(Clone)]
pub struct Script {
    pub discover: Vec<ScriptedResponse>,
    pub initialize: Vec<ScriptedResponse>,
    pub notification: ScriptedResponse,
    pub call: Vec<ScriptedResponse>,
}

/// A server of an older revision, whose tool succeeds.
impl Default for Script {
    fn default() -> Self {
        Self {
            discover: vec![ScriptedResponse::status(400)],
            initialize: vec![initialize_result("2025-06-18").header("mcp-session-id", "s-1")],
            notification: ScriptedResponse::status(202),
            call: vec![ok_result()],
        }
    }
}

pub fn initialize_result(revision: &str) -> ScriptedResponse {
    let info = json!({"name": "scripted", "version": "1"});
    ScriptedResponse::rpc(
        "result",
        &json!({"protocolVersion": revision, "capabilities": {}, "serverInfo": info}),
    )
}

pub fn discover_result() -> ScriptedResponse {
    let result = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private"});
    ScriptedResponse::rpc("result", &result)
}

/// A result that [`check_ok`] accepts.
pub fn ok_result() -> ScriptedResponse {
    ScriptedResponse::rpc("result", &json!({"content": [{"type": "text", "text": "All is well."}]}))
}

pub struct ScriptedServer {
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

impl ScriptedServer {
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

    /// The requests so far: the MCP method, or the HTTP method and the session.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().1.clone()
    }

    pub fn count(&self, request: &str) -> usize {
        self.requests().iter().filter(|received| *received == request).count()
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
    let response = {
        let mut shared = shared.lock();
        next_response(&mut shared, &method, &message, session)
    };
    if response.no_response {
        pending::<()>().await;
    }
    response.to_http(&message["id"])
}

fn next_response(
    shared: &mut (Script, Vec<String>),
    method: &Method,
    message: &Value,
    session: &str,
) -> ScriptedResponse {
    let rpc = message["method"].as_str().unwrap_or_default().to_owned();
    shared.1.push(if *method == Method::POST { rpc.clone() } else { format!("{method} {session}") });
    let next =
        |list: &mut Vec<ScriptedResponse>| if list.len() > 1 { list.remove(0) } else { list[0].clone() };
    match rpc.as_str() {
        _ if *method != Method::POST => ScriptedResponse::status(200),
        "server/discover" => next(&mut shared.0.discover),
        "initialize" => next(&mut shared.0.initialize),
        "tools/call" => next(&mut shared.0.call),
        _ => shared.0.notification.clone(),
    }
}

/// Starts a server with this script and calls its tool once.
pub async fn call_scripted(
    script: Script,
    timeout: Duration,
) -> Result<(ScriptedServer, Result<ToolResult, CallError>)> {
    let server = ScriptedServer::start(script).await?;
    let (client, url) = (client(&[server.server().address()], "{}")?, server.url());
    let target = Target { timeout, ..target(&url) };
    let outcome = call(&client, &target, payment("k1", 7.0), None).await;
    Ok((server, outcome))
}

/// Calls a server with each script at the same time and checks each outcome.
pub async fn call_each(
    scripts: Vec<(String, Script)>,
    check: impl Fn(&ScriptedServer, Result<ToolResult, CallError>) -> Result<()>,
) -> Result<()> {
    let calls = scripts.into_iter().map(async |(name, script)| {
        let (server, outcome) = call_scripted(script, TIMEOUT).await?;
        check(&server, outcome).with_context(|| format!("{name}: {:?}", server.requests()))
    });
    try_join_all(calls).await?;
    Ok(())
}

/// Checks that a call returned [`ok_result`].
pub fn check_ok(_: &ScriptedServer, outcome: Result<ToolResult, CallError>) -> Result<()> {
    let message = completed(outcome)?.message;
    ensure!(message.as_deref() == Some("All is well."), "{message:?}");
    Ok(())
}
