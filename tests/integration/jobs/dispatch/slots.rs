//! The number of calls that an organisation, and each of its agents, may have at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use serde_json::{Value, json};

use super::fixture::{DispatchFixture, TIMEOUT, auto_tool, has_event};
use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::tool_calls::{record_tool_events, register_tools, tool};

const OTHER_AGENT: &str = "cfo_strategy";
const THIRD_AGENT: &str = "tax_compliance";

/// Calls of an organisation at the same time, and of one of its agents.
const OF_ORGANISATION: usize = 16;
const OF_AGENT: usize = 8;

/// An organisation with a tool for each of three agents.
async fn organisation(stack: &LocalStack) -> Result<TestClient> {
    stack.webhook().context("the stack has no webhook")?.set_disconnected(true);
    let client = TestClient::new(stack).await?;
    let org_id = client.user.org_id;
    stack.raise_limits(org_id).await?;
    for (agent, tool_name) in [(AGENT, "pay"), (OTHER_AGENT, "plan"), (THIRD_AGENT, "check")] {
        if agent != AGENT {
            stack.register_agent(org_id, agent, agent).await?;
        }
        let tools =
            [tool(tool_name, &json!({ "policy": "auto" })), tool("no", &json!({ "policy": "never" }))];
        register_tools(stack, org_id, agent, &tools[..if agent == OTHER_AGENT { 2 } else { 1 }], &[]).await?;
    }
    Ok(client)
}

/// Records events for these tools in each of so many new sessions.
async fn record(client: &TestClient, sessions: usize, tools: &[&str]) -> Result<()> {
    let events: Vec<(&str, Value)> = tools.iter().map(|tool| (*tool, json!({}))).collect();
    for _ in 0..sessions {
        record_tool_events(client, &client.open_session_path().await?, &events).await?;
    }
    Ok(())
}

/// Claims until another claim would begin nothing, and returns the calls by agent.
async fn claim(stack: &LocalStack) -> Result<(Vec<Value>, BTreeMap<String, usize>)> {
    let calls = tokio::time::timeout(Duration::from_secs(60), stack.claim_deliveries()).await;
    let calls = calls.context("claims report due calls that they do not begin")??;
    let mut by_agent = BTreeMap::new();
    for call in &calls {
        *by_agent.entry(call["agent_id"].as_str().context("a call has no agent")?.to_owned()).or_default() +=
            1;
    }
    Ok((calls, by_agent))
}

fn expect(what: &str, found: &BTreeMap<String, usize>, expected: &[(&str, usize)]) -> Result<()> {
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(agent, calls)| ((*agent).to_owned(), *calls)).collect();
    ensure!(*found == expected, "{what}: expected {expected:?}, found {found:?}");
    Ok(())
}

#[tokio::test]
async fn one_agent_has_half_of_the_calls_of_its_organisation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let client = organisation(&stack).await?;
    record(&client, OF_AGENT + 2, &["pay"]).await?;
    let (payments, by_agent) = claim(&stack).await?;
    expect("one agent", &by_agent, &[(AGENT, OF_AGENT)])?;
    record(&client, OF_AGENT + 2, &["plan"]).await?;
    expect("a second agent", &claim(&stack).await?.1, &[(OTHER_AGENT, OF_AGENT)])?;
    record(&client, 1, &["check"]).await?;
    expect("a third agent", &claim(&stack).await?.1, &[])?;
    let running: i64 = sqlx::query_scalar("select count(*) from deliveries where status = 'running'")
        .fetch_one(stack.database())
        .await?;
    ensure!(usize::try_from(running)? == OF_ORGANISATION, "expected 16 calls, found {running}");

    // The end of a call frees its slot, and the first in the queues gets it.
    let completed = json!({ "kind": "completed" });
    stack.finish_delivery(&payments[0], completed.clone()).await?;
    expect("after one payment", &claim(&stack).await?.1, &[(AGENT, 1)])?;
    // The expiry of its lease frees it too. Another claim then takes over the call itself.
    let expire = "update deliveries set lease_until = now() where id = $1::uuid";
    sqlx::query(expire).bind(payments[1]["id"].as_str()).execute(stack.database()).await?;
    let (taken_over, by_agent) = claim(&stack).await?;
    expect("after an expired lease", &by_agent, &[(AGENT, 1)])?;
    stack.finish_delivery(&taken_over[0], completed.clone()).await?;
    stack.finish_delivery(&payments[2], completed).await?;
    expect("after two more", &claim(&stack).await?.1, &[(AGENT, 1), (THIRD_AGENT, 1)])
}

#[tokio::test]
async fn next_call_of_a_session_waits_for_the_slots_of_its_own_agent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let client = organisation(&stack).await?;
    record(&client, OF_AGENT, &["pay"]).await?;
    let (payments, _) = claim(&stack).await?;
    // The first delivery calls another agent. The claim closes it, because its tool is forbidden, and
    // the next one would be the ninth call of the busy agent.
    record(&client, 1, &["no", "pay", "plan"]).await?;
    expect("while the agent is busy", &claim(&stack).await?.1, &[])?;
    let states: Vec<(String, String)> =
        sqlx::query_as("select tool, status from deliveries where status <> 'running' order by seq")
            .fetch_all(stack.database())
            .await?;
    let state = |tool: &str, status: &str| (tool.to_owned(), status.to_owned());
    ensure!(
        states == [state("no", "dead"), state("pay", "pending"), state("plan", "pending")],
        "expected a dead letter and two pending calls: {states:?}"
    );
    stack.finish_delivery(&payments[0], json!({ "kind": "completed" })).await?;
    expect("with a free slot", &claim(&stack).await?.1, &[(AGENT, 1)])
}

/// Sessions that call the dead agent: more than an organisation may have called at the same time.
const DEAD_SESSIONS: usize = 20;

#[tokio::test]
async fn dead_agent_does_not_delay_other_agents_of_its_organisation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = DispatchFixture::new(&stack, auto_tool()).await?;
    let client = &fixture.client;
    stack.raise_limits(client.user.org_id).await?;
    let dead = stack.agents().agent(AGENT).context("the agent does not exist")?;
    dead.add_fault(Fault::on_calls().delay(Duration::from_secs(600)));
    let timeout = "update agent_servers set timeout_seconds = 60 where agent_id = $1";
    sqlx::query(timeout).bind(AGENT).execute(stack.database()).await?;
    for _ in 0..DEAD_SESSIONS {
        let session = client.open_session_path().await?;
        client.record_event(&session, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
    }
    let calls = async || -> Result<i64> {
        let query = "select count(*) from deliveries where agent_id = $1 and attempts > 0";
        Ok(sqlx::query_scalar(query).bind(AGENT).fetch_one(stack.database()).await?)
    };
    let all_begun = async {
        while calls().await? < i64::try_from(OF_AGENT)? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, all_begun).await.context("the dead agent is not called")??;

    let session = client.post("/chatkit/sessions", json!({ "agentId": THIRD_AGENT })).await?.expect(201)?;
    let path = session_path(&session);
    client.record_event(&path, "button_click", json!({ "action": "check" })).await?.expect(201)?;
    let other = DispatchFixture { client: TestClient::from_user(&stack, client.user.clone()), session };
    other.wait_for(|session| has_event(session, "agent_result")).await?;
    let calls = usize::try_from(calls().await?)?;
    ensure!(calls == OF_AGENT, "expected 8 calls of the dead agent, found {calls}");
    Ok(())
}
