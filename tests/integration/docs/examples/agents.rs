//! Both agents in `examples` handle the events of a session.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_client::header::ACCEPT;
use local_stack::lambda;
use local_stack::process_reaper::{self, Termination};
use local_stack::supabase::OrgRole;
use local_stack::toolchain::{MCP_2026, Tool};
use local_stack::{LocalStack, http};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::admin_command::AdminCommand;
use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::decide;
use crate::support::project_files::{read_text, root};
use crate::support::{markdown, skip};

/// Time for an agent to start, or for an event to be handled, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

pub const BEARER: &str = "bearer-of-the-example";

/// The command that registers the agent's server.
const REGISTER: &str = "servers register server.toml";

/// The page of the agent, with the registration.
const AGENT_PAGE: &str = "examples/agent-python/README.md";

/// The packages that the page of the agent installs.
const PYTHON_PACKAGES: Tool =
    Tool { requirements: include_str!("../../../../examples/agent-python/requirements.txt"), ..MCP_2026 };

#[tokio::test]
async fn python_agent_handles_events_of_a_session() -> Result<()> {
    skip::with_tools(async { check_events(&start_python_agent().await?).await }).await
}

#[tokio::test]
async fn rust_agent_handles_events_of_a_session() -> Result<()> {
    check_events(&start_rust_agent().await?).await
}

#[tokio::test]
async fn python_agent_pays_once_for_one_key() -> Result<()> {
    skip::with_tools(async { check_repeated_calls(&start_python_agent().await?).await }).await
}

#[tokio::test]
async fn rust_agent_pays_once_for_one_key() -> Result<()> {
    check_repeated_calls(&start_rust_agent().await?).await
}

/// An agent's process, which ends when this value is dropped.
pub struct ExampleAgent {
    process: Child,
    address: SocketAddr,
}

impl ExampleAgent {
    /// Starts the program and waits until it prints its URL.
    async fn start(mut command: Command) -> Result<Self> {
        command.env("AGENT_BEARER", BEARER).env("PORT", "0").env_remove("HOST");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("starting the agent")?;
        if let Some(pid) = process.id() {
            process_reaper::watch(pid, Termination::Kill)?;
        }
        let mut lines = BufReader::new(process.stderr.take().context("no standard error")?).lines();
        let find_address = async {
            while let Some(line) = lines.next_line().await? {
                let url = line.split("http://").nth(1).unwrap_or_default();
                let authority = url.split(['/', ' ']).next().unwrap_or_default();
                if let Ok(address) = authority.parse() {
                    return Ok(address);
                }
            }
            anyhow::bail!("the agent ended without printing its URL")
        };
        let address = timeout(TIMEOUT, find_address).await.context("the agent did not start")??;
        // A full pipe would block the agent.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address })
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Makes the call that the page describes, with changes.
    async fn call(&self, bearer: &str, change: impl FnOnce(&mut Value)) -> Result<TestResponse> {
        let mut body = curl_body("tools/call")?;
        change(&mut body["params"]["arguments"]);
        let request = http::client().post(self.url()).bearer_auth(bearer).json(&body);
        let request = request.header(ACCEPT, "application/json, text/event-stream");
        // The response of a rejected request may have any body.
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_str(&response.text().await?).unwrap_or_default();
        Ok(TestResponse { status, headers, body })
    }
}

impl Drop for ExampleAgent {
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            process_reaper::forget(pid);
        }
    }
}

pub async fn start_python_agent() -> Result<ExampleAgent> {
    let mut python = Command::from(PYTHON_PACKAGES.install_async().await?.python());
    python.arg(root()?.join("examples/agent-python/agent.py")).env("PYTHONUTF8", "1");
    ExampleAgent::start(python).await
}

async fn start_rust_agent() -> Result<ExampleAgent> {
    let program = lambda::workspace_example("agent").await?;
    ExampleAgent::start(Command::new(program)).await
}

/// Returns the JSON that the `curl` command with this text sends, in the page of the agent.
fn curl_body(marker: &str) -> Result<Value> {
    let blocks = markdown::blocks(&read_text(AGENT_PAGE)?, "sh");
    let block = blocks.iter().find(|block| block.contains(marker));
    let block = block.with_context(|| format!("no command with {marker}"))?;
    let (_, body) = block.split_once("-d '").context("the command does not send a body")?;
    let (body, _) = body.rsplit_once('\'').context("the body does not end")?;
    serde_json::from_str(body).context("the body is not JSON")
}

/// Registers the agent's server with the file and the command of the page.
async fn register(admin: &AdminCommand, org_id: Uuid, agent: &ExampleAgent, credential: &str) -> Result<()> {
    let page = read_text(AGENT_PAGE)?;
    let command = format!("cargo admin {REGISTER} --org \"$ORG\" --env-file production.env");
    ensure!(markdown::blocks(&page, "sh").contains(&command), "the page does not have the command {command}");
    let file = markdown::blocks(&page, "toml").pop().context("the page does not have a registration")?;
    let file = file.replace("https://agents.example.com/mcp", &agent.url());
    let file = file.replace("credential = \"payables\"", &format!("credential = \"{credential}\""));
    std::fs::write(admin.folder().join("server.toml"), file)?;
    let server = admin.json(&format!("{REGISTER} --org {org_id}")).await?;
    let server = &server["agent_server"];
    ensure!(server["url"] == agent.url() && server["credential"] == credential, "{server:#}");
    Ok(())
}

fn click(invoice: &str, amount_cents: u64) -> Value {
    json!({ "action": "pay", "data": { "invoice": invoice, "amountCents": amount_cents } })
}

async fn check_events(agent: &ExampleAgent) -> Result<()> {
    let origin = format!("http://{}", agent.address);
    let credentials = json!({
        "payables": { "origin": origin, "bearer": BEARER },
        "outdated": { "origin": origin, "bearer": "another-bearer-0123" },
    });
    let stack = LocalStack::builder()
        .env("AGENT_LOOPBACK_ALLOWLIST", &agent.address.to_string())
        .env("AGENT_CREDENTIALS", &credentials.to_string());
    let stack = stack.start().await?;
    let member = TestClient::new(&stack).await?;
    let org_id = member.user.org_id;
    let approver = TestClient::in_organisation(&stack, org_id, OrgRole::Approver).await?;
    let admin = AdminCommand::new(&stack).await?;
    register(&admin, org_id, agent, "payables").await?;
    let session = member.open_session_path().await?;

    member.record_event(&session, "button_click", click("42", 1_000_000)).await?.expect(201)?;
    let shown = wait_for(&member, &session, |shown| results(shown).len() == 1).await?;
    let paid = &results(&shown)[0]["output"];
    ensure!(paid["invoice"] == "42" && paid["amountCents"] == 1_000_000, "{shown:#}");
    ensure!(paid["paymentId"].is_string(), "{shown:#}");

    // Above the limit, the agent pays once, after the approval.
    for (invoice, decision, count) in [("43", "approve", 2), ("44", "reject", 3)] {
        member.record_event(&session, "button_click", click(invoice, 1_000_001)).await?.expect(201)?;
        let escalation = wait_for_escalation(&approver).await?;
        ensure!(escalation["kind"] == "agent_asked" && escalation["approver"] == "other", "{escalation:#}");
        decide(&member, &escalation, "approve").await?.expect(403)?;
        let shown = wait_for(&member, &session, |_| true).await?;
        ensure!(!paid_invoices(&shown).contains(&invoice), "paid without an approval: {shown:#}");
        decide(&approver, &escalation, decision).await?.expect(200)?;
        let shown = wait_for(&member, &session, |shown| results(shown).len() == count).await?;
        ensure!(paid_invoices(&shown) == ["42", "43"], "{decision}: {shown:#}");
    }
    let list = member.get(&format!("{session}/messages")).await?.expect(200)?;
    let messages = list["messages"].as_array().context("no messages")?;
    let contents: Vec<&str> = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    let expected = [
        "The payment of invoice 42 is ordered.",
        "Another person has to approve invoice 43.",
        "The payment of invoice 43 is ordered.",
        "Another person has to approve invoice 44.",
        "The payment of invoice 44 was rejected.",
    ];
    assert_eq!(contents, expected);

    // A credential that the agent does not accept.
    register(&admin, org_id, agent, "outdated").await?;
    member.record_event(&session, "button_click", click("45", 100)).await?.expect(201)?;
    let failed = |shown: &Value| !payloads(shown, "agent_failed").is_empty();
    let shown = wait_for(&member, &session, failed).await?;
    ensure!(payloads(&shown, "agent_failed")[0]["error"] == "unauthorized", "{shown:#}");
    ensure!(paid_invoices(&shown) == ["42", "43"], "paid with another bearer: {shown:#}");
    Ok(())
}

async fn check_repeated_calls(agent: &ExampleAgent) -> Result<()> {
    let result = |response: TestResponse| -> Result<Value> {
        Ok(response.expect(200)?["result"]["structuredContent"].clone())
    };
    let first = result(agent.call(BEARER, |_| {}).await?)?;
    ensure!(first["status"] == "completed" && first["output"]["paymentId"].is_string(), "{first:#}");
    let repeated = result(agent.call(BEARER, |_| {}).await?)?;
    ensure!(repeated == first, "expected {first:#}, found {repeated:#}");
    let with_other_key = |arguments: &mut Value| arguments["idempotencyKey"] = json!("another key");
    let other = result(agent.call(BEARER, with_other_key).await?)?;
    ensure!(other["output"]["paymentId"] != first["output"]["paymentId"], "{other:#}");

    for bearer in ["", "another-bearer", &BEARER[1..]] {
        let response = agent.call(bearer, |arguments| arguments["idempotencyKey"] = json!(bearer)).await?;
        ensure!(response.status == 401, "bearer {bearer:?}: {}", response.status);
        ensure!(response.headers.contains_key("www-authenticate"), "bearer {bearer:?}");
    }
    let amounts = [json!(null), json!(0), json!(-1), json!("100"), json!(0.5), json!(true)];
    for (row, amount) in amounts.iter().enumerate() {
        let change = |arguments: &mut Value| {
            arguments["event"]["payload"]["data"]["amountCents"] = amount.clone();
            arguments["idempotencyKey"] = json!(row.to_string());
        };
        let outcome = result(agent.call(BEARER, change).await?)?;
        ensure!(outcome["status"] == "failed" && outcome["output"].is_null(), "{amount}: {outcome:#}");
    }
    Ok(())
}

/// Waits until the session satisfies the condition, and returns it.
async fn wait_for(client: &TestClient, session: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut shown = Value::Null;
    let waiting = async {
        loop {
            // Reading ChatKit's threads is limited per minute.
            shown = client.get(&format!("{session}?include=none")).await?.expect(200)?;
            if condition(&shown) {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let outcome = timeout(TIMEOUT, waiting).await;
    outcome.with_context(|| format!("the condition was not met within {TIMEOUT:?}: {shown:#}"))??;
    Ok(shown)
}

async fn wait_for_escalation(approver: &TestClient) -> Result<Value> {
    let waiting = async {
        loop {
            let list = approver.get("/chatkit/escalations").await?.expect(200)?;
            if let Some(escalation) = list["escalations"].get(0) {
                return anyhow::Ok(escalation.clone());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TIMEOUT, waiting).await.context("no escalation was opened")?
}

/// Returns the payloads of the session's events of this type, in order.
fn payloads<'s>(shown: &'s Value, event_type: &str) -> Vec<&'s Value> {
    let events = shown["events"].as_array().into_iter().flatten();
    events.filter(|event| event["type"] == event_type).map(|event| &event["payload"]).collect()
}

fn results(shown: &Value) -> Vec<&Value> {
    payloads(shown, "agent_result")
}

/// Returns the invoices that were paid, in order. An invoice that is paid twice occurs twice.
fn paid_invoices(shown: &Value) -> Vec<&str> {
    results(shown).into_iter().filter_map(|result| result["output"]["invoice"].as_str()).collect()
}
