//! A server may close the stream of an answer before it is there, and be asked for the rest later.
//! Source: <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery>

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

/// A server that closes the stream of every call at once.
#[derive(Clone, Default)]
struct Early {
    /// At which GET the answer comes; never, if none.
    answers_at: Option<usize>,
    /// The ids that were asked from, and the id of the call.
    seen: Arc<Mutex<(Vec<String>, Value)>>,
}

impl Early {
    async fn start(self) -> Result<Server> {
        let port = Port::free().await?;
        Ok(port
            .serve(Router::new().route("/mcp", post(posted).get(got).delete(async || ())).with_state(self)))
    }
}

async fn posted(State(early): State<Early>, body: Bytes) -> Response {
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
            early.seen.lock().unwrap().1 = id;
            events("id: e-1\nretry: 0\ndata: \n\n".to_owned())
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn got(State(early): State<Early>, headers: HeaderMap) -> Response {
    let mut seen = early.seen.lock().unwrap();
    let from = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    seen.0.push(from.to_owned());
    let now = seen.0.len();
    if early.answers_at != Some(now) {
        return events(format!("id: e-{}\nretry: 0\ndata: \n\n", now + 1));
    }
    let result = json!({"content": [{"type": "text", "text": "At last."}]});
    events(format!("id: last\ndata: {}\n\n", json!({"jsonrpc": "2.0", "id": seen.1, "result": result})))
}

fn events(events: String) -> Response {
    ([("content-type", "text/event-stream")], events).into_response()
}

// NAME: mcp: a stream that was closed early is taken up again
#[tokio::test]
async fn taken_up() -> Result<()> {
    let early = Early { answers_at: Some(3), ..Early::default() };
    let server = early.clone().start().await?;
    let url = format!("{}/mcp", server.url());
    let outcome = call(&client(&[server.address()], "{}")?, &target(&url), payment("k1", 7.0), None).await;
    assert_eq!(completed(outcome)?.message.as_deref(), Some("At last."));
    let asked = early.seen.lock().map_err(|_| anyhow!("poisoned"))?.0.clone();
    assert_eq!(asked, ["e-1", "e-2", "e-3"]);
    Ok(())
}

// NAME: mcp: a stream that is closed for ever is given up
#[tokio::test]
async fn given_up() -> Result<()> {
    let early = Early::default();
    let server = early.clone().start().await?;
    let (url, started) = (format!("{}/mcp", server.url()), Instant::now());
    let outcome = call(&client(&[server.address()], "{}")?, &target(&url), payment("k1", 7.0), None).await;
    assert_eq!(failure(outcome)?, CallError::Unknown(Reason::ConnectionLost));
    let times = early.seen.lock().map_err(|_| anyhow!("poisoned"))?.0.len();
    ensure!(times == 20 && started.elapsed() > Duration::from_secs(1), "{times} in {:?}", started.elapsed());
    Ok(())
}
