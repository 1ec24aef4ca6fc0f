//! An agent that pays invoices: an MCP server with one tool, `handle_event`.
//!
//! `route-events` calls the tool with the session events that the agent is registered for. Up to a
//! limit the agent pays. Above the limit it asks for the approval of another person, and pays after
//! the decision has arrived in a second call.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::env;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::schemars::{self, JsonSchema};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Amounts are integers in cents, so that no rounding can occur. The limit is 10,000.00 EUR.
const LIMIT_CENTS: u64 = 1_000_000;

/// The arguments of the tool that this agent uses. Other arguments are ignored.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventCall {
    event: Event,
    idempotency_key: String,
    /// Present if a person edited the call. They have the form of a payload, so that the
    /// registration can point to the amount of both.
    inputs: Option<Value>,
    /// Present after a person decided.
    decision: Option<Decision>,
}

#[derive(Deserialize, JsonSchema)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    payload: Value,
}

#[derive(Deserialize, JsonSchema)]
struct Decision {
    decision: String,
}

/// The invoice that the user's click refers to.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invoice {
    invoice: String,
    amount_cents: u64,
}

/// The result of the tool: `AgentResult` in `docs/openapi.yaml`.
#[derive(Clone, Serialize, JsonSchema)]
struct AgentResult {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<Value>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Completed,
    Failed,
    NeedsHitl,
}

impl AgentResult {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), output: None, ask: None }
    }
}

#[derive(Clone, Default)]
struct PaymentAgent {
    /// The result of each payment by its idempotency key. An agent in production keeps this table
    /// in its database and writes it in the transaction that orders the payment, so a restart does
    /// not lose it.
    results: Arc<Mutex<HashMap<String, AgentResult>>>,
}

#[tool_router]
impl PaymentAgent {
    #[tool(description = "Pays the invoice of a session event, or asks for an approval.")]
    fn handle_event(&self, Parameters(call): Parameters<EventCall>) -> Json<AgentResult> {
        // The lock is held until the result is stored, so two calls with one key cannot both pay.
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match results.entry(call.idempotency_key) {
            // A repeated call has the result of the first call and does not pay again.
            Entry::Occupied(stored) => return Json(stored.get().clone()),
            Entry::Vacant(entry) => entry,
        };
        let Event { event_type, payload } = call.event;
        if event_type != "button_click" || payload["action"] != "pay" {
            let output = Some(json!({ "ignored": event_type }));
            return Json(AgentResult { status: Status::Completed, message: None, output, ask: None });
        }
        let data = &call.inputs.as_ref().unwrap_or(&payload)["data"];
        let invoice = match Invoice::deserialize(data) {
            Ok(invoice) if invoice.amount_cents > 0 && !invoice.invoice.is_empty() => invoice,
            _ => {
                let message = "The invoice or its amount is missing or invalid.";
                return Json(AgentResult::new(Status::Failed, message));
            }
        };
        let name = format!("invoice {}", invoice.invoice);
        match call.decision.as_ref().map(|decision| decision.decision.as_str()) {
            None if invoice.amount_cents > LIMIT_CENTS => {
                let message = format!("Another person has to approve {name}.");
                let ask = json!({
                    "reason": format!("The amount of {name} is above {} EUR.", LIMIT_CENTS / 100),
                    "decisions": ["approve", "reject"],
                    "risk": "medium",
                    "approver": "other",
                });
                Json(AgentResult { ask: Some(ask), ..AgentResult::new(Status::NeedsHitl, message) })
            }
            None | Some("approve" | "edit") => {
                // The bank's API would be called here, with the idempotency key.
                let output = json!({
                    "paymentId": Uuid::new_v4(),
                    "invoice": invoice.invoice,
                    "amountCents": invoice.amount_cents,
                });
                let message = format!("The payment of {name} is ordered.");
                let result =
                    AgentResult { output: Some(output), ..AgentResult::new(Status::Completed, message) };
                Json(entry.insert(result).clone())
            }
            Some(_) => {
                let message = format!("The payment of {name} was rejected.");
                Json(AgentResult::new(Status::Completed, message))
            }
        }
    }
}

#[tool_handler]
impl ServerHandler for PaymentAgent {}

/// Rejects requests without the bearer that `AGENT_CREDENTIALS` contains for this agent.
async fn require_bearer(State(bearer): State<Arc<str>>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let token = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
    // The comparison takes equally long wherever the difference is.
    match token.map(|token| verify_slices_are_equal(token, bearer.as_bytes())) {
        Some(Ok(())) => next.run(request).await,
        _ => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")]).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let bearer: Arc<str> = env::var("AGENT_BEARER").unwrap_or_default().into();
    anyhow::ensure!(!bearer.is_empty(), "Set AGENT_BEARER to the bearer of this agent in AGENT_CREDENTIALS.");
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").unwrap_or_else(|_| "4000".to_owned());
    let config = StreamableHttpServerConfig::default()
        // Without MCP sessions, any number of processes can serve the same address.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // The SDK would accept local host names only, as a protection of servers without a bearer.
        .disable_allowed_hosts();
    let agent = PaymentAgent::default();
    let service = StreamableHttpService::new(
        move || Ok(agent.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let app = Router::new().nest_service("/mcp", service).layer(from_fn_with_state(bearer, require_bearer));
    let listener = TcpListener::bind(format!("{host}:{port}")).await.context("binding the port")?;
    eprintln!("Listening on http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, app).await.context("serving requests")
}
