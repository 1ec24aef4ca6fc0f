//! The tools that the model calls, and the person who decides about the calls that are held.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::agents::Agent;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use super::page::CHAT_AGENT;
use crate::stress::deliveries;
use crate::stress::env::{AGENT, Person, StressEnv};
use crate::stress::requests::Request;

/// Is called without a decision.
pub const FREE_TOOL: &str = "book";

/// Needs a decision above [`LIMIT`], and after another call of its answer.
pub const LIMITED_TOOL: &str = "transfer";

/// Needs a decision for each call.
pub const HELD_TOOL: &str = "pay";

pub const TOOLS: [&str; 3] = [FREE_TOOL, LIMITED_TOOL, HELD_TOOL];

/// The agent itself asks above a much higher amount.
pub const LIMIT: u32 = 1000;

/// Time between two looks at the inbox.
const INBOX_PAUSE: Duration = Duration::from_millis(300);

/// Registers the tools. Each call is executed as often as it arrives, because the agent ignores
/// idempotency keys.
pub async fn register(env: &StressEnv) -> Result<&Agent> {
    let agent = env.stack.agents().agent(AGENT).context("the agent does not exist")?;
    agent.ignore_idempotency_keys(true);
    TOOLS.iter().for_each(|name| agent.add_tool(name));
    let tool = |name: &str, policy: Value| {
        let mut tool = json!({
            "name": name, "description": "Pays an invoice.", "risk": "low", "approver": "other",
            "amount_pointer": "/amount", "idempotent": false,
            "input_schema": {
                "type": "object", "required": ["invoice", "amount"],
                "properties": { "invoice": { "type": "string" }, "amount": { "type": "number" } },
            },
        });
        if let (Some(tool), Value::Object(policy)) = (tool.as_object_mut(), policy) {
            tool.extend(policy);
        }
        tool
    };
    let arguments = json!({
        "p_org_id": env.person(0).user.org_id, "p_agent_id": CHAT_AGENT, "p_url": agent.url(),
        "p_credential": AGENT, "p_timeout_seconds": 5, "p_routes": [],
        "p_tools": [
            tool(FREE_TOOL, json!({ "policy": "auto" })),
            tool(LIMITED_TOOL, json!({ "policy": "auto", "ask_above": LIMIT })),
            tool(HELD_TOOL, json!({ "policy": "ask" })),
        ],
    });
    let (status, body) = env.stack.rpc("register_agent_server", arguments).await?;
    ensure!(status.is_success(), "the tools were not registered: {body}");
    Ok(agent)
}

/// A person who approves half of the held calls, and rejects the rest. A call that may have been
/// executed is never approved again, so that each call has at most one effect.
pub struct Approver<'a> {
    env: &'a StressEnv,
    person: Person,
    /// The subject hash of each approval, by escalation. Recorded before it is sent.
    approved: Mutex<HashMap<String, String>>,
}

impl<'a> Approver<'a> {
    pub async fn add(env: &'a StressEnv) -> Result<Self> {
        let person = env.add_person(OrgRole::Approver).await?;
        Ok(Self { env, person, approved: Mutex::default() })
    }

    /// Decides, and runs the dispatcher, as long as the chats go on.
    pub async fn decide_meanwhile(&self) -> Result<Infallible> {
        loop {
            self.decide_page().await;
            // A failed run is followed by others.
            self.env.stack.run_job("route-events").await.ok();
            tokio::time::sleep(INBOX_PAUSE).await;
        }
    }

    /// Decides about everything that is open, and waits until all calls have ended.
    pub async fn decide_everything(&self) -> Result<()> {
        for _ in 0..100 {
            while self.decide_page().await > 0 {}
            let left = deliveries::drain(self.env).await?;
            ensure!(left == 0, "{left} calls are stuck");
            let open = "select count(*) from chat_escalations where status = 'open'";
            let open: i64 = sqlx::query_scalar(open).fetch_one(self.env.stack.database()).await?;
            if open == 0 {
                return Ok(());
            }
        }
        anyhow::bail!("escalations stay open")
    }

    /// Decides about the first page of the inbox. Returns the number of escalations.
    async fn decide_page(&self) -> usize {
        let request = Request::read("/chatkit/escalations?limit=100".to_owned());
        let page = self.env.send_until_response(&self.person, &request).await.body;
        let escalations = page["escalations"].as_array().cloned().unwrap_or_default();
        for escalation in &escalations {
            let (id, hash) = (text(&escalation["id"]), text(&escalation["subjectHash"]));
            let seed = id.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
            let approves = escalation["kind"] != "outcome_unknown" && !seed.is_multiple_of(2);
            if approves {
                self.approved.lock().unwrap_or_else(PoisonError::into_inner).insert(id, hash);
            }
            let decision = if approves { "approve" } else { "reject" };
            // Another response than success is looked at again with the next page.
            self.env.send_until_response(&self.person, &Request::decide(escalation, decision)).await;
        }
        escalations.len()
    }

    /// Returns the subject hash of an approval that was sent.
    pub fn approved_hash(&self, escalation_id: &str) -> Option<String> {
        self.approved.lock().unwrap_or_else(PoisonError::into_inner).get(escalation_id).cloned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
