//! A round-robin load balancer in front of MCP servers that share no state.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, Method, Response, StatusCode, Uri, header};
use serde_json::Value;

use crate::http::{Port, Server, client};

/// A load balancer without session affinity.
pub struct RoundRobin {
    server: Server,
    shared: Shared,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Turns>>);

struct Turns {
    workers: [SocketAddr; 2],
    next: usize,
    seen: Vec<String>,
    repeat_after: Option<String>,
}

impl RoundRobin {
    pub async fn start(workers: [SocketAddr; 2]) -> anyhow::Result<Self> {
        let turns = Turns { workers, next: 0, seen: Vec::new(), repeat_after: None };
        let shared = Shared(Arc::new(Mutex::new(turns)));
        let server = Port::free().await?.serve(Router::new().fallback(forward).with_state(shared.clone()));
        Ok(Self { server, shared })
    }

    /// URL of the workers' MCP endpoint.
    pub fn url(&self) -> String {
        format!("{}/mcp", self.server.url())
    }

    /// Host and port, in the format of `AGENT_LOOPBACK_ALLOWLIST`.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the MCP methods of all requests in order, or `DELETE`.
    pub fn methods(&self) -> Vec<String> {
        self.shared.lock().seen.clone()
    }

    pub fn clear_methods(&self) {
        self.shared.lock().seen.clear();
    }

    /// After the next request with this method, sends one more request to the same worker.
    pub fn repeat_after(&self, rpc: &str) {
        self.shared.lock().repeat_after = Some(rpc.to_owned());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_worker(&self, rpc: String) -> SocketAddr {
        let mut turns = self.lock();
        let worker = turns.workers[turns.next % 2];
        match turns.repeat_after.take_if(|after| *after == rpc) {
            Some(_) => {}
            None => turns.next += 1,
        }
        turns.seen.push(rpc);
        worker
    }
}

async fn forward(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let rpc = message["method"].as_str().unwrap_or(method.as_str()).to_owned();
    let worker = shared.next_worker(rpc);
    let mut request = client().request(method, format!("http://{worker}{uri}")).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !is_connection_header(name)) {
        request = request.header(name, value);
    }
    let responses = async {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        anyhow::Ok((status, headers, response.bytes().await?))
    };
    match responses.await {
        Ok((status, headers, body)) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            response.headers_mut().extend(
                headers
                    .into_iter()
                    .filter(|(name, _)| name.as_ref().is_none_or(|name| !is_connection_header(name))),
            );
            response
        }
        Err(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

fn is_connection_header(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(name)
        || name == "keep-alive"
}
