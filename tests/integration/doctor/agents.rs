//! Faults of agent servers: connection, URL, credential, protocol and tools.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::agents::{Agent, Fault, TOOL};
use local_stack::http::ClosedPort;
use local_stack::{Builder, LocalStack};
use serde_json::json;
use uuid::Uuid;

use super::{execute, expect_faults, expect_report, start, with_env};
use crate::support::client::AGENT;

#[tokio::test]
async fn unreachable_server_is_reported() -> Result<()> {
    let closed = ClosedPort::free()?;
    let url = closed.url();
    let address = url.trim_start_matches("http://").to_owned();
    let stack = start_with_server(&address, &format!("{url}/mcp")).await?;
    expect_agent_fault(&stack, "agent_unreachable", &format!("{url}/mcp (tax_compliance)")).await
}

#[tokio::test]
async fn server_without_tls_is_reported() -> Result<()> {
    let other = LocalStack::start().await?;
    let address = agent(&other)?.address().to_string();
    let url = format!("https://{address}/mcp");
    let stack = start_with_server(&address, &url).await?;
    expect_agent_fault(&stack, "agent_tls", &url).await
}

#[tokio::test]
async fn server_timeout_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().delay(Duration::from_secs(60)), "agent_timed_out").await
}

#[tokio::test]
async fn server_that_closes_the_connection_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().drop_before(), "agent_unreachable").await
}

#[tokio::test]
async fn private_address_is_reported_without_query() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    register_server(&stack, "https://10.0.0.7/mcp?token=c4n4ry").await?;
    let fault = ("agent_server", "agent_url_refused", "https://10.0.0.7/mcp");
    let report = expect_report(&stack, &[fault], &[]).await?;
    ensure!(!report.to_string().contains("c4n4ry"), "the report contains a query: {report}");
    Ok(())
}

#[tokio::test]
async fn cloud_metadata_address_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    register_server(&stack, "http://169.254.169.254/latest/meta-data").await?;
    expect_agent_fault(&stack, "agent_url_refused", "169.254.169.254").await
}

#[tokio::test]
async fn url_without_https_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    register_server(&stack, "http://agents.example.com/mcp").await?;
    expect_agent_fault(&stack, "agent_url_refused", "url_not_https").await
}

#[tokio::test]
async fn missing_credential_is_reported() -> Result<()> {
    let stack = start(with_credential_of("another_agent")).await?;
    expect_agent_fault(&stack, "agent_credential_missing", AGENT).await
}

#[tokio::test]
async fn credential_for_another_origin_is_reported() -> Result<()> {
    let stack = start(with_credential_of(AGENT)).await?;
    expect_agent_fault(&stack, "agent_credential_elsewhere", AGENT).await
}

#[tokio::test]
async fn rejected_credential_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().status(401), "agent_unauthorized").await
}

#[tokio::test]
async fn server_without_mcp_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().html_body(), "agent_not_mcp").await
}

#[tokio::test]
async fn path_without_server_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().status(404), "agent_not_mcp").await
}

#[tokio::test]
async fn failing_server_is_reported() -> Result<()> {
    expect_server_fault(Fault::everywhere().status(500), "agent_failed").await
}

/// A tool with the policy `never` is never called, so the server may lack it.
#[tokio::test]
async fn missing_tool_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    let agent = stack.agents().agent("tax_compliance").context("the stack has no such agent server")?;
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": "tax_compliance", "p_url": agent.url(),
        "p_credential": "tax_compliance",
        "p_tools": [{ "name": TOOL }, { "name": "file_return" }, { "name": "pay_back", "policy": "never" }],
        "p_routes": [{ "tool": "file_return", "event_type": "button_click" }],
    });
    let (status, body) = stack.rpc("register_agent_server", arguments).await?;
    ensure!(status.is_success(), "register_agent_server returned {status}: {body}");
    expect_agent_fault(&stack, "agent_tool_missing", "\"file_return\"").await
}

#[tokio::test]
async fn tool_with_other_arguments_is_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let envelope = json!(["session", "event", "idempotencyKey"]);
    for (tool, code, detail) in [
        (json!({ "arguments": "plain", "input_schema": { "type": "object", "required": envelope } }), "", ""),
        (
            json!({ "arguments": "plain", "input_schema": { "type": "object", "required": ["session"] } }),
            "agent_tool_schema_differs",
            "the server requires event",
        ),
        (json!({ "input_schema": { "type": "object", "required": [] } }), "", ""),
        (
            json!({ "input_schema": { "type": "object", "$ref": "https://example.com/schema" } }),
            "agent_tool_schema_unusable",
            "leads out of it",
        ),
    ] {
        register_own_server(&stack, tool).await?;
        if code.is_empty() {
            expect_faults(&stack, &[], &[]).await?;
        } else {
            expect_agent_fault(&stack, code, &format!("{TOOL}: ")).await?;
            expect_agent_fault(&stack, code, detail).await?;
        }
    }
    Ok(())
}

/// A tool with the arguments of the contract is meant for events, so it needs no description.
#[tokio::test]
async fn plain_tool_of_self_hosted_agent_without_description_is_a_warning() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let schema = json!({ "type": "object", "required": ["session", "event", "idempotencyKey"] });
    for (arguments, description, is_self_hosted, warned) in [
        ("plain", None, false, false),
        ("plain", None, true, true),
        ("plain", Some("Pays an invoice."), true, false),
        ("envelope", None, true, false),
    ] {
        if is_self_hosted {
            let org_id = agent_organisation(&stack).await?;
            stack.register_self_hosted_agent(org_id, AGENT, json!({})).await?;
        }
        let tool = json!({ "arguments": arguments, "description": description, "input_schema": schema });
        register_own_server(&stack, tool).await?;
        let report = super::run_doctor(&stack).await?;
        let findings = report["findings"].as_array().context("a report without findings")?;
        let found: Vec<&serde_json::Value> = findings
            .iter()
            .filter(|finding| finding["check"] == "agent_server" && finding["status"] != "ok")
            .map(|finding| &finding["code"])
            .collect();
        let expected = if warned { vec!["agent_tool_undescribed"] } else { vec![] };
        ensure!(found == expected, "{arguments} {description:?}: found {found:?}");
    }
    Ok(())
}

/// Registers the tool of the agent server that every stack of this module has.
async fn register_own_server(stack: &LocalStack, mut tool: serde_json::Value) -> Result<()> {
    tool["policy"] = json!("auto");
    stack.register_agent_tool(agent_organisation(stack).await?, AGENT, tool).await.map(drop)
}

async fn agent_organisation(stack: &LocalStack) -> Result<Uuid> {
    let query = "select org_id from agents where id = $1";
    Ok(sqlx::query_scalar(query).bind(AGENT).fetch_one(stack.database()).await?)
}

#[tokio::test]
async fn server_of_disabled_agent_is_not_reported() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    register_server(&stack, "http://agents.example.com/mcp").await?;
    execute(&stack, "update public.agents set enabled = false where id = 'tax_compliance'").await?;
    expect_faults(&stack, &[], &[]).await
}

fn agent(stack: &LocalStack) -> Result<&Agent> {
    stack.agents().agent(AGENT).context("the stack has no agent server")
}

fn with_credential_of(agent_id: &str) -> Builder {
    let credentials =
        json!({ agent_id: { "origin": "https://agents.example.com", "bearer": "c4n4ry-c4n4ry-c4n4ry" } });
    with_env("AGENT_CREDENTIALS", &credentials.to_string())
}

/// Starts a stack that permits this loopback address only, with an agent server there.
async fn start_with_server(address: &str, url: &str) -> Result<LocalStack> {
    let stack = with_env("AGENT_LOOPBACK_ALLOWLIST", address).start().await?;
    register_server(&stack, url).await?;
    Ok(stack)
}

/// Registers a second agent with a server, in another organisation.
async fn register_server(stack: &LocalStack, url: &str) -> Result<()> {
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    stack.register_agent_server(org_id, "tax_compliance", url, None, json!({ "policy": "auto" })).await?;
    Ok(())
}

async fn expect_server_fault(fault: Fault, code: &str) -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    agent(&stack)?.add_fault(fault);
    expect_agent_fault(&stack, code, AGENT).await
}

async fn expect_agent_fault(stack: &LocalStack, code: &str, text: &str) -> Result<()> {
    expect_faults(stack, &[("agent_server", code, text)], &[]).await
}
