//! Tests of the MCP client, which calls agent servers.

mod credentials;
mod deliveries;
mod discovery;
mod egress;
mod faults;
mod handshake;
mod real_servers;
mod responses;
mod resumption;
mod scripted_server;
mod tool_results;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use local_stack::agents::{Agent, Settings, TOOL};
use reqwest::ClientBuilder;
use serde_json::{Map, Value, json};
use shared::clients::mcp::{
    CallError, Client, Completed, Credentials, ElicitationAnswer, Target, ToolCall, ToolResult,
};
use shared::platform::egress::{EgressClient, LoopbackAllowlist, SystemResolver};
use shared::platform::http_client::Deadline;

/// Binds connections to the loopback interface. A defect of the egress guard then cannot send a
/// packet to another host.
fn bind_to_loopback(builder: ClientBuilder) -> ClientBuilder {
    builder.interface(if cfg!(target_os = "macos") { "lo0" } else { "lo" })
}

/// Creates a client that may connect to these addresses only.
fn client(hosts: &[SocketAddr], credentials: &str) -> Result<Client> {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let allowed = LoopbackAllowlist::parse(&hosts.join(",")).map_err(|reason| anyhow!(reason))?;
    let egress = EgressClient::with_resolver(allowed, SystemResolver, bind_to_loopback)
        .map_err(|error| anyhow!(error))?;
    Ok(Client::new(egress, Credentials::parse(credentials).map_err(|reason| anyhow!(reason))?))
}

/// Starts the accounts payable agent, and creates a client for it.
async fn start_payables(settings: Settings) -> Result<(Agent, Client)> {
    let agent = Agent::accounts_payable(settings).await?;
    let client = client(&[agent.address()], "{}")?;
    Ok((agent, client))
}

/// A target whose timeout is long enough for a busy machine.
fn target(url: &str) -> Target<'_> {
    Target { url, credential: None, timeout: Duration::from_secs(20) }
}

/// The arguments of a tool for an event with this payload.
fn arguments(key: &str, payload: &Value) -> Map<String, Value> {
    let session = json!({"id": "019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10", "agentId": "accounts_payable"});
    let event = json!({"id": key, "type": "button_click", "payload": payload});
    let arguments = json!({"session": session, "event": event, "idempotencyKey": key});
    arguments.as_object().cloned().unwrap_or_default()
}

/// The arguments for the payment of an invoice.
fn payment(key: &str, amount: f64) -> Map<String, Value> {
    arguments(key, &json!({"action": "pay", "data": {"invoice": 42, "amount": amount}}))
}

async fn call(
    client: &Client,
    target: &Target<'_>,
    arguments: Map<String, Value>,
    resume: Option<ElicitationAnswer<'_>>,
) -> Result<ToolResult, CallError> {
    let deadline = Deadline::after(Duration::from_secs(30));
    client.call(target, ToolCall { tool: TOOL, arguments, meta: Map::new(), resume }, deadline).await
}

/// Pays an invoice below the agent's limit.
async fn pay(client: &Client, agent: &Agent, key: &str) -> Result<ToolResult, CallError> {
    call(client, &target(&agent.url()), payment(key, 7.0), None).await
}

fn completed(outcome: Result<ToolResult, CallError>) -> Result<Completed> {
    match outcome {
        Ok(ToolResult::Completed(completed)) => Ok(completed),
        other => Err(anyhow!("expected a completed call, found {other:?}")),
    }
}

fn failure(outcome: Result<ToolResult, CallError>) -> Result<CallError> {
    match outcome {
        Err(error) => Ok(error),
        Ok(outcome) => Err(anyhow!("expected an error, found {outcome:?}")),
    }
}
