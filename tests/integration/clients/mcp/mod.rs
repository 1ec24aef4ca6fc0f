//! Agents are called over MCP as the contract says, whatever they answer, and nothing else is connected to.

mod credentials;
mod deliveries;
mod egress;
mod faults;
mod protocol_variants;
mod real_servers;
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

/// Binds connections to the loopback interface: were the guard broken, still no packet could leave this machine.
pub fn kept_in(builder: ClientBuilder) -> ClientBuilder {
    builder.interface(if cfg!(target_os = "macos") { "lo0" } else { "lo" })
}

/// A client as functions have it, that may reach these ports.
pub fn client(hosts: &[SocketAddr], credentials: &str) -> Result<Client> {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let allowed = LoopbackAllowlist::parse(&hosts.join(",")).map_err(|reason| anyhow!(reason))?;
    let outbound =
        EgressClient::with_resolver(allowed, SystemResolver, kept_in).map_err(|error| anyhow!(error))?;
    Ok(Client::new(outbound, Credentials::parse(credentials).map_err(|reason| anyhow!(reason))?))
}

/// An agent, and a client that may reach it.
pub async fn payables(settings: Settings) -> Result<(Agent, Client)> {
    let agent = Agent::accounts_payable(settings).await?;
    let client = client(&[agent.address()], "{}")?;
    Ok((agent, client))
}

/// Time enough for anything that does not hang.
pub fn target(url: &str) -> Target<'_> {
    Target { url, credential: None, timeout: Duration::from_secs(20) }
}

/// What a tool is given for an event with this payload.
pub fn arguments(key: &str, payload: &Value) -> Map<String, Value> {
    let session = json!({"id": "019aab51-7c7e-7a52-b1a0-3f6c3f6f2a10", "agentId": "accounts_payable"});
    let event = json!({"id": key, "type": "button_click", "payload": payload});
    let arguments = json!({"session": session, "event": event, "idempotencyKey": key});
    arguments.as_object().cloned().unwrap_or_default()
}

/// The payment of an invoice.
pub fn payment(key: &str, amount: f64) -> Map<String, Value> {
    arguments(key, &json!({"action": "pay", "data": {"invoice": 42, "amount": amount}}))
}

pub async fn call(
    client: &Client,
    target: &Target<'_>,
    arguments: Map<String, Value>,
    resume: Option<ElicitationAnswer<'_>>,
) -> Result<ToolResult, CallError> {
    let deadline = Deadline::after(Duration::from_secs(30));
    client.call(target, ToolCall { tool: TOOL, arguments, resume }, deadline).await
}

/// Pays a small invoice.
pub async fn pay(client: &Client, agent: &Agent, key: &str) -> Result<ToolResult, CallError> {
    call(client, &target(&agent.url()), payment(key, 7.0), None).await
}

pub fn completed(outcome: Result<ToolResult, CallError>) -> Result<Completed> {
    match outcome {
        Ok(ToolResult::Completed(completed)) => Ok(completed),
        other => Err(anyhow!("not completed: {other:?}")),
    }
}

pub fn failure(outcome: Result<ToolResult, CallError>) -> Result<CallError> {
    match outcome {
        Err(error) => Ok(error),
        Ok(outcome) => Err(anyhow!("no failure: {outcome:?}")),
    }
}
