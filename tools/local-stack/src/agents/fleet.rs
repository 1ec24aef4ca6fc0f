//! The three agents of a stack.

use anyhow::Result;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agent::{Agent, Settings};
use super::behaviour::Behaviour;

/// The three agents, each on its own port.
#[derive(Debug)]
pub struct AgentFleet {
    agents: Vec<Agent>,
    bearer: String,
}

impl AgentFleet {
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut agents = Vec::new();
        for behaviour in Behaviour::ALL {
            agents.push(Agent::start(behaviour, settings).await?);
        }
        Ok(Self { agents, bearer: format!("agents-{}", Uuid::new_v4().simple()) })
    }

    /// Returns an agent by its id in the registry.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.id() == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter()
    }

    /// The bearer token that a caller of the agents sends.
    pub fn bearer(&self) -> &str {
        &self.bearer
    }

    /// The value of `AGENT_LOOPBACK_ALLOWLIST` for these agents.
    pub fn loopback_allowlist(&self) -> String {
        let hosts: Vec<String> = self.agents.iter().map(|agent| agent.address().to_string()).collect();
        hosts.join(",")
    }

    /// The value of `AGENT_CREDENTIALS` for these agents: one credential each, under the agent's
    /// id.
    pub fn credentials(&self) -> String {
        let entry = |agent: &Agent| {
            let origin = format!("http://{}", agent.address());
            (agent.id().to_owned(), json!({"origin": origin, "bearer": self.bearer}))
        };
        Value::Object(self.agents.iter().map(entry).collect::<Map<_, _>>()).to_string()
    }
}
