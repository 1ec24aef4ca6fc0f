//! Fixture for dispatch: an organisation with three agents, a user and a session.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};

/// The time within which a condition must become true, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub struct DispatchFixture {
    pub client: TestClient,
    pub session: Value,
}

/// An idempotent tool that is called without an approval, and whose questions its user may answer.
pub fn auto_tool() -> Value {
    json!({ "idempotent": true, "policy": "auto", "risk": "low", "approver": "self" })
}

impl DispatchFixture {
    /// Registers `tool` for [`AGENT`], and [`auto_tool`] for the other agents.
    pub async fn new(stack: &LocalStack, tool: Value) -> Result<Self> {
        let client = TestClient::new(stack).await?;
        let org_id = client.user.org_id;
        for (agent, name) in [("tax_compliance", "Tax"), ("cfo_strategy", "Strategy")] {
            stack.register_agent(org_id, agent, name).await?;
            stack.register_agent_tool(org_id, agent, auto_tool()).await?;
        }
        stack.register_agent_tool(org_id, AGENT, tool).await?;
        let session = client.open_session().await?;
        Ok(Self { client, session })
    }

    /// Records a click that requests a payment.
    pub async fn click(&self, amount: u32) -> Result<Value> {
        let payload = json!({ "action": "pay", "data": { "invoice": "42", "amount": amount } });
        self.client.record_event(&session_path(&self.session), "button_click", payload).await?.expect(201)
    }

    pub async fn get_session(&self) -> Result<Value> {
        self.client.get(&session_path(&self.session)).await?.expect(200)
    }

    /// The contents of the session's messages.
    pub async fn messages(&self) -> Result<Vec<String>> {
        let body =
            self.client.get(&format!("{}/messages", session_path(&self.session))).await?.expect(200)?;
        let messages = body["messages"].as_array().context("the response has no messages")?;
        Ok(messages.iter().filter_map(|message| message["content"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until the session meets the condition, and returns the session.
    pub async fn wait_for(&self, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        let poll = async {
            loop {
                let session = self.get_session().await?;
                if condition(&session) {
                    return anyhow::Ok(session);
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        match tokio::time::timeout(TIMEOUT, poll).await {
            Ok(session) => session,
            Err(_) => bail!("the session did not meet the condition: {:#}", self.get_session().await?),
        }
    }

    /// Decides the only open escalation, as an approver of the organisation.
    pub async fn decide(&self, stack: &LocalStack, decision: &str, answer: Option<Value>) -> Result<()> {
        let approver = stack.add_user(self.client.user.org_id, OrgRole::Approver).await?;
        let query = "select id, subject_hash from chat_escalations where status = 'open'";
        let (id, hash): (Uuid, String) = sqlx::query_as(query).fetch_one(stack.database()).await?;
        let mut arguments = json!({
            "p_org_id": approver.org_id, "p_user_id": approver.id, "p_escalation_id": id,
            "p_decision": decision, "p_subject_hash": hash,
        });
        if let Some(answer) = answer {
            arguments["p_answer"] = answer;
        }
        let (status, response) = stack.rpc("decide_escalation", arguments).await?;
        ensure!(status.is_success(), "decide_escalation returned {status}: {response}");
        Ok(())
    }
}

pub fn has_event(session: &Value, event_type: &str) -> bool {
    session["events"].as_array().is_some_and(|events| events.iter().any(|event| event["type"] == event_type))
}

pub fn has_escalation(session: &Value) -> bool {
    !session["escalations"][0].is_null()
}

/// Status and error of all deliveries, in order.
pub async fn delivery_states(stack: &LocalStack) -> Result<Vec<(String, Option<String>)>> {
    let query = "select status, error from deliveries order by session_id, seq";
    Ok(sqlx::query_as(query).fetch_all(stack.database()).await?)
}

/// Idempotency key and arguments of each operation that the agent executed.
pub fn executed(stack: &LocalStack, agent: &str) -> Vec<(String, Value)> {
    let agent = stack.agents().agent(agent);
    agent.map(|agent| agent.actions()).into_iter().flatten().map(|action| (action.key, action.data)).collect()
}
