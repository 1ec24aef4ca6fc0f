//! All three, as a stack has them.

use anyhow::Result;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agent::{Agent, Settings};
use super::behaviour::Trade;

/// The three agents, each on a port of its own.
#[derive(Debug)]
pub struct AgentFleet {
    agents: Vec<Agent>,
    bearer: String,
}

impl AgentFleet {
    /// Starts them.
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut agents = Vec::new();
        for trade in Trade::ALL {
            agents.push(Agent::start(trade, settings).await?);
        }
        Ok(Self { agents, bearer: format!("agents-{}", Uuid::new_v4().simple()) })
    }

    /// One of them, by its name in the registry.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.id() == id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter()
    }

    /// What they are shown by whoever calls them for us.
    pub fn bearer(&self) -> &str {
        &self.bearer
    }

    /// `AGENT_LOOPBACK_ALLOWLIST` for them.
    pub fn allowed_hosts(&self) -> String {
        let hosts: Vec<String> = self.agents.iter().map(|agent| agent.address().to_string()).collect();
        hosts.join(",")
    }

    /// `AGENT_CREDENTIALS` for them: one each, under its own name.
    pub fn credentials(&self) -> String {
        let entry = |agent: &Agent| {
            let origin = format!("http://{}", agent.address());
            (agent.id().to_owned(), json!({"origin": origin, "bearer": self.bearer}))
        };
        Value::Object(self.agents.iter().map(entry).collect::<Map<_, _>>()).to_string()
    }
}
