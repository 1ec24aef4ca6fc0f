//! Agents' servers: not there, not to be reached, not MCP, not shown what they want, without the tool.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::Builder;
use local_stack::LocalStack;
use local_stack::agents::{Agent, Fault, TOOL};
use local_stack::http::Port;
use serde_json::json;
use uuid::Uuid;

use super::{finds, found};
use crate::support::client::AGENT;

fn credential(of: &str) -> Builder {
    let credentials = json!({ of: { "origin": "https://agents.example.com", "bearer": "c4n4ry" } });
    LocalStack::builder().env("AGENT_CREDENTIALS", &credentials.to_string())
}

// NAME: doctor: it finds that an agent's server is silent
#[tokio::test]
async fn finds_that_an_agents_server_is_silent() -> Result<()> {
    finds(LocalStack::builder(), silent).await
}

// NAME: doctor: it finds that an agent's server hangs up
#[tokio::test]
async fn finds_that_an_agents_server_hangs_up() -> Result<()> {
    finds(LocalStack::builder(), hangs_up).await
}

// NAME: doctor: it finds that an agent's server is at a private address
#[tokio::test]
async fn finds_that_an_agents_server_is_at_a_private_address() -> Result<()> {
    finds(LocalStack::builder(), private).await
}

// NAME: doctor: it finds that an agent's server is at the address of the cloud's own secrets
#[tokio::test]
async fn finds_that_an_agents_server_is_at_the_address_of_the_clouds_own_secrets() -> Result<()> {
    finds(LocalStack::builder(), metadata).await
}

// NAME: doctor: it finds that an agent's server is not https
#[tokio::test]
async fn finds_that_an_agents_server_is_not_https() -> Result<()> {
    finds(LocalStack::builder(), plain).await
}

// NAME: doctor: it finds that an agent's credential is missing
#[tokio::test]
async fn finds_that_an_agents_credential_is_missing() -> Result<()> {
    finds(credential("somebody_else"), credential_missing).await
}

// NAME: doctor: it finds that an agent's credential is for another origin
#[tokio::test]
async fn finds_that_an_agents_credential_is_for_another_origin() -> Result<()> {
    finds(credential(AGENT), credential_elsewhere).await
}

// NAME: doctor: it finds that an agent's server refuses what it is shown
#[tokio::test]
async fn finds_that_an_agents_server_refuses_what_it_is_shown() -> Result<()> {
    finds(LocalStack::builder(), unauthorized).await
}

// NAME: doctor: it finds that an agent's server is no MCP server
#[tokio::test]
async fn finds_that_an_agents_server_is_no_mcp_server() -> Result<()> {
    finds(LocalStack::builder(), not_mcp).await
}

// NAME: doctor: it finds that an agent's server is not at its path
#[tokio::test]
async fn finds_that_an_agents_server_is_not_at_its_path() -> Result<()> {
    finds(LocalStack::builder(), other_path).await
}

// NAME: doctor: it finds that an agent's server is out of order
#[tokio::test]
async fn finds_that_an_agents_server_is_out_of_order() -> Result<()> {
    finds(LocalStack::builder(), failing).await
}

// NAME: doctor: it finds that an agent's server does not offer a tool
#[tokio::test]
async fn finds_that_an_agents_server_does_not_offer_a_tool() -> Result<()> {
    finds(LocalStack::builder(), tool).await
}

// NAME: doctor: it finds nothing wrong with the server of an agent that is switched off
#[tokio::test]
async fn finds_nothing_wrong_with_the_server_of_an_agent_that_is_switched_off() -> Result<()> {
    finds(LocalStack::builder(), switched_off).await
}

fn agent(stack: &LocalStack) -> Result<&Agent> {
    stack.agents().agent(AGENT).context("no agent")
}

/// The one fault that is to be found, of the agent's server.
async fn only(stack: &LocalStack, code: &str, named: &str) -> Result<()> {
    found(stack, &[("agent_server", code, named)], &[]).await.map(drop)
}

/// Registers another agent with a server there.
async fn register(stack: &LocalStack, url: &str) -> Result<()> {
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    stack.register_agent_server(org_id, "tax_compliance", url, None, json!({ "policy": "auto" })).await?;
    Ok(())
}

/// A stack in which servers may be at this address alone, and one is.
async fn with_server_at(address: &str, url: &str) -> Result<LocalStack> {
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", address).start().await?;
    register(&stack, url).await?;
    Ok(stack)
}

// NAME: doctor: it finds that an agent's server is down
#[tokio::test]
async fn down() -> Result<()> {
    let url = Port::free().await?.url();
    let address = url.trim_start_matches("http://").to_owned();
    let stack = with_server_at(&address, &format!("{url}/mcp")).await?;
    only(&stack, "agent_unreachable", &format!("{url}/mcp (tax_compliance)")).await
}

// NAME: doctor: it finds that an agent's server speaks no TLS
#[tokio::test]
async fn no_tls() -> Result<()> {
    let other = LocalStack::start().await?;
    let address = agent(&other)?.address().to_string();
    let url = format!("https://{address}/mcp");
    let stack = with_server_at(&address, &url).await?;
    only(&stack, "agent_tls", &url).await
}

async fn silent(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().delay(Duration::from_secs(60)));
    only(stack, "agent_timed_out", AGENT).await
}

async fn hangs_up(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().drop_before());
    only(stack, "agent_unreachable", AGENT).await
}

async fn private(stack: &LocalStack) -> Result<()> {
    register(stack, "https://10.0.0.7/mcp?token=c4n4ry").await?;
    let report = found(stack, &[("agent_server", "agent_url_refused", "https://10.0.0.7/mcp")], &[]).await?;
    ensure!(!report.to_string().contains("c4n4ry"), "a query is shown: {report}");
    Ok(())
}

async fn metadata(stack: &LocalStack) -> Result<()> {
    register(stack, "http://169.254.169.254/latest/meta-data").await?;
    only(stack, "agent_url_refused", "169.254.169.254").await
}

async fn plain(stack: &LocalStack) -> Result<()> {
    register(stack, "http://agents.example.com/mcp").await?;
    only(stack, "agent_url_refused", "url_not_https").await
}

async fn credential_missing(stack: &LocalStack) -> Result<()> {
    only(stack, "agent_credential_missing", AGENT).await
}

async fn credential_elsewhere(stack: &LocalStack) -> Result<()> {
    only(stack, "agent_credential_elsewhere", AGENT).await
}

async fn unauthorized(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().status(401));
    only(stack, "agent_unauthorized", AGENT).await
}

async fn not_mcp(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().nonsense());
    only(stack, "agent_not_mcp", AGENT).await
}

async fn other_path(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().status(404));
    only(stack, "agent_not_mcp", AGENT).await
}

async fn failing(stack: &LocalStack) -> Result<()> {
    agent(stack)?.fault(Fault::everywhere().status(500));
    only(stack, "agent_failed", AGENT).await
}

async fn tool(stack: &LocalStack) -> Result<()> {
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    let agent = stack.agents().agent("tax_compliance").context("no agent")?;
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": "tax_compliance", "p_url": agent.url(), "p_credential": "tax_compliance",
        "p_tools": [{ "name": TOOL }, { "name": "file_return" }, { "name": "pay_back", "policy": "never" }],
        "p_routes": [{ "tool": "file_return", "event_type": "button_click" }],
    });
    let (status, answer) = stack.rpc("register_agent_server", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    // What is never called need not be there.
    only(stack, "agent_tool_missing", "\"file_return\"").await
}

async fn switched_off(stack: &LocalStack) -> Result<()> {
    register(stack, "http://agents.example.com/mcp").await?;
    let off = "update public.agents set enabled = false where id = 'tax_compliance'";
    sqlx::query(off).execute(stack.database()).await?;
    found(stack, &[], &[]).await.map(drop)
}
