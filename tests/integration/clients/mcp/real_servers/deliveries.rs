//! Deliveries of events to the servers, on the local stack.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::{RoundRobin, SdkServer};
use local_stack::supabase::OrgRole;
use local_stack::toolchain::{MCP_2025, MCP_2026};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{python_server, typescript_servers};
use crate::support::client::{TestClient, session_path};
use crate::support::skip;

#[tokio::test]
async fn deliveries_to_sdk_servers_complete() -> Result<()> {
    skip::with_tools(check_deliveries()).await
}

#[tokio::test]
async fn plain_tools_of_sdk_servers_receive_the_inputs_and_meta() -> Result<()> {
    skip::with_tools(check_plain_deliveries()).await
}

async fn check_deliveries() -> Result<()> {
    let (old, new, workers) =
        tokio::try_join!(python_server(MCP_2025), python_server(MCP_2026), typescript_servers())?;
    let balancer = RoundRobin::start(workers.map(SdkServer::address)).await?;
    let servers = [
        ("python_2025", old.url(), old.address()),
        ("python_2026", new.url(), new.address()),
        ("typescript", workers[0].url(), workers[0].address()),
        ("two_workers", balancer.url(), balancer.address()),
    ];
    let hosts: Vec<String> = servers.iter().map(|(_, _, address)| address.to_string()).collect();
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", &hosts.join(",")).start().await?;
    let org_id = Uuid::new_v4();
    for (agent, url, _) in &servers {
        stack.register_agent(org_id, agent, agent).await?;
        let tool = json!({ "idempotent": false, "policy": "auto" });
        stack.register_agent_server(org_id, agent, url, None, tool).await?;
    }
    let caller = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
    let checks = servers.iter().map(|(agent, ..)| check_delivery(&caller, agent));
    futures_util::future::try_join_all(checks).await?;
    Ok(())
}

/// Checks that the session contains the results of its deliveries: an output, a message and an
/// escalation.
async fn check_delivery(caller: &TestClient, agent: &str) -> Result<()> {
    let session = caller.post("/chatkit/sessions", json!({ "agentId": agent })).await?.expect(201)?;
    let (at, structured) =
        (session_path(&session), if agent.starts_with("python") { "ours" } else { "structured" });
    for answer in ["own", if structured == "ours" { "text" } else { "plain" }, structured] {
        caller
            .record_event(&at, "button_click", json!({ "action": "pay", "data": { "answer": answer } }))
            .await?
            .expect(201)?;
    }
    let waiting = async {
        loop {
            let shown = caller.get(&format!("{at}?include=none")).await?.expect(200)?;
            if shown["escalations"].as_array().is_some_and(|open| !open.is_empty()) {
                return anyhow::Ok(shown);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let shown = shown.with_context(|| format!("{agent}: no escalation within 60 seconds"))??;
    let events = shown["events"].as_array().context("no events")?;
    let results: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "agent_result")
        .map(|event| &event["payload"])
        .collect();
    let output = &results.first().context("no result")?["output"];
    let own = json!({ "status": "success", "paid": true });
    ensure!(*output == own || output["result"] == own, "{agent}: {shown:#}");
    ensure!(
        results.len() == 2 && !events.iter().any(|event| event["type"] == "agent_failed"),
        "{agent}: {shown:#}"
    );
    ensure!(shown["escalations"][0]["reason"] == "Large.", "{agent}: {shown:#}");
    let messages = caller.get(&format!("{at}/messages")).await?.expect(200)?;
    let contents: Vec<&str> = messages["messages"]
        .as_array()
        .context("no messages")?
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    ensure!(contents == ["All is well.", "May I?"], "{agent}: {contents:?}");
    Ok(())
}

/// Calls the tool `pay` of each SDK, which was not written for the contract, and lets the doctor
/// compare its registration with the server.
async fn check_plain_deliveries() -> Result<()> {
    let (old, new, [typescript, _]) =
        tokio::try_join!(python_server(MCP_2025), python_server(MCP_2026), typescript_servers())?;
    let servers = [("python_2025", old), ("python_2026", new), ("typescript", typescript)];
    let hosts = servers.map(|(_, server)| server.address().to_string()).join(",");
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", &hosts).start().await?;
    let org_id = Uuid::new_v4();
    let caller = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
    let schema = json!({
        "type": "object", "required": ["invoice_id", "amount"], "additionalProperties": false,
        "properties": { "invoice_id": { "type": "string" }, "amount": { "type": "number" } },
    });
    for (agent, server) in servers {
        stack.register_agent(org_id, agent, agent).await?;
        register_payment(&stack, org_id, agent, server, &schema).await?;
        let body = json!({ "agentId": agent, "metadata": { "costCentre": "4711" } });
        let session = caller.post("/chatkit/sessions", body).await?.expect(201)?;
        let at = session_path(&session);
        let payload = json!({ "invoice_id": "42", "amount": 7.5 });
        let recorded = caller.record_event(&at, "custom_pay", payload).await?.expect(201)?;
        let event_id = &recorded["events"][0]["id"];
        let output = output_of(&caller, &at).await.context(agent)?;
        let meta = &output["meta"];
        ensure!(output["invoice"] == "42" && output["amount"] == 7.5, "{agent}: {output:#}");
        let names: Vec<&str> =
            meta.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let ours: Vec<&str> =
            names.into_iter().filter(|name| !name.starts_with("io.modelcontextprotocol/")).collect();
        let expected =
            ["eventId", "idempotencyKey", "session"].map(|name| format!("chatkit-sessions/{name}"));
        ensure!(ours == expected, "{agent}: expected {expected:?}, found {ours:?}");
        ensure!(meta["chatkit-sessions/eventId"] == *event_id, "{agent}: {meta:#}");
        ensure!(meta["chatkit-sessions/idempotencyKey"] == *event_id, "{agent}: {meta:#}");
        let sent = &meta["chatkit-sessions/session"];
        ensure!(sent["id"] == session["id"] && sent["metadata"]["costCentre"] == "4711", "{agent}: {sent:#}");
    }
    let found = faults_of_servers(&stack).await?;
    ensure!(found.is_empty(), "expected registrations that match the servers: {found:?}");
    let mut other = schema;
    other["properties"]["invoice_id"]["type"] = json!("integer");
    for (agent, server) in servers {
        register_payment(&stack, org_id, agent, server, &other).await?;
    }
    let found = faults_of_servers(&stack).await?;
    let expected = json!(["agent_tool_schema_differs", "pay: invoice_id has another type at the server"]);
    ensure!(found == vec![expected; 3], "{found:?}");
    Ok(())
}

async fn register_payment(
    stack: &LocalStack,
    org_id: Uuid,
    agent: &str,
    server: &SdkServer,
    schema: &Value,
) -> Result<()> {
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": agent, "p_url": server.url(),
        "p_tools": [{
            "name": "pay", "description": "Pays an invoice.", "input_schema": schema, "arguments": "plain",
            "policy": "auto",
        }],
        "p_routes": [{ "tool": "pay", "event_type": "custom_pay", "session_agent_id": agent }],
    });
    let (status, response) = stack.rpc("register_agent_server", arguments).await?;
    ensure!(status.is_success(), "register_agent_server returned {status}: {response}");
    Ok(())
}

/// Waits for the result of a session's only delivery, and returns its output.
async fn output_of(caller: &TestClient, at: &str) -> Result<Value> {
    let waiting = async {
        loop {
            let shown = caller.get(at).await?.expect(200)?;
            let mut events = shown["events"].as_array().into_iter().flatten();
            ensure!(!events.clone().any(|event| event["type"] == "agent_failed"), "{shown:#}");
            if let Some(result) = events.find(|event| event["type"] == "agent_result") {
                return Ok(result["payload"]["output"].clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.context("no result within 60 seconds")?
}

/// Returns the code and the detail of each fault that the doctor reports about an agent's server.
async fn faults_of_servers(stack: &LocalStack) -> Result<Vec<Value>> {
    let report = stack.invoke_admin("doctor", &json!({})).await?;
    let findings = report["findings"].as_array().context("a report without findings")?;
    let of_servers = findings
        .iter()
        .filter(|finding| finding["check"] == "agent_server" && finding["status"] != "ok")
        .map(|finding| json!([finding["code"], finding["detail"]]));
    Ok(of_servers.collect())
}
