//! Streams that a server closes before its response. The client resumes them with GET and the last
//! event id.
//!
//! Source:
//! <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery>

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use local_stack::http::{Port, Server};
use serde_json::{Value, json};
use shared::clients::mcp::{CallError, Reason};

use super::{call, client, completed, failure, payment, target};

#[tokio::test]
async fn closed_stream_is_resumed() -> Result<()> {
    let closing = ClosingServer { responds_at: Some(3), ..ClosingServer::default() };
    let server = closing.clone().start().await?;
    let url = format!("{}/mcp", server.url());
    let outcome = call(&client(&[server.address()], "{}")?, &target(&url), payment("k1", 7.0), None).await;
    assert_eq!(completed(outcome)?.message.as_deref(), Some("At last."));
    let ids = closing.received.lock().map_err(|_| anyhow!("poisoned"))?.0.clone();
    assert_eq!(ids, ["e-1", "e-2", "e-3"]);
    Ok(())
}

#[tokio::test]
async fn stream_that_closes_20_times_is_lost() -> Result<()> {
    let closing = ClosingServer::default();
    let server = closing.clone().start().await?;
    let (url, started) = (format!("{}/mcp", server.url()), Instant::now());
    let outcome = call(&client(&[server.address()], "{}")?, &target(&url), payment("k1", 7.0), None).await;
    assert_eq!(failure(outcome)?, CallError::Unknown(Reason::ConnectionLost));
    let times = closing.received.lock().map_err(|_| anyhow!("poisoned"))?.0.len();
    ensure!(
        times == 20 && started.elapsed() > Duration::from_secs(1),
        "{times} requests in {:?}",
        started.elapsed()
    );
    Ok(())
}

/// A server that closes the stream of every call immediately.
#[derive(Clone, Default)]
struct ClosingServer {
    /// The number of the GET request that receives the response. `None` for no response.
    responds_at: Option<usize>,
    /// The received `Last-Event-ID` headers, and the id of the call.
    received: Arc<Mutex<(Vec<String>, Value)>>,
}

impl ClosingServer {
    async fn start(self) -> Result<Server> {
        let port = Port::free().await?;
        Ok(port.serve(
            Router::new()
                .route("/mcp", post(handle_post).get(handle_get).delete(async || ()))
                .with_state(self),
        ))
    }
}

async fn handle_post(State(closing): State<ClosingServer>, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let id = message["id"].clone();
    match message["method"].as_str() {
        Some("server/discover") => (StatusCode::BAD_REQUEST, "No session").into_response(),
        Some("initialize") => {
            let info = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "e", "version": "1"}});
            ([("mcp-session-id", "s-1")], Json(json!({"jsonrpc": "2.0", "id": id, "result": info})))
                .into_response()
        }
        Some("tools/call") => {
            closing.received.lock().unwrap().1 = id;
            event_stream("id: e-1\nretry: 0\ndata: \n\n".to_owned())
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn handle_get(State(closing): State<ClosingServer>, headers: HeaderMap) -> Response {
    let mut received = closing.received.lock().unwrap();
    let last_event_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    received.0.push(last_event_id.to_owned());
    let count = received.0.len();
    if closing.responds_at != Some(count) {
        return event_stream(format!("id: e-{}\nretry: 0\ndata: \n\n", count + 1));
    }
    let result = json!({"content": [{"type": "text", "text": "At last."}]});
    event_stream(format!(
        "id: last\ndata: {}\n\n",
        json!({"jsonrpc": "2.0", "id": received.1, "result": result})
    ))
}

fn event_stream(events: String) -> Response {
    ([("content-type", "text/event-stream")], events).into_response()
}
