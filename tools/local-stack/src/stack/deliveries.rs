//! What waits for agents, as a router would find it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::LocalStack;

impl LocalStack {
    /// Has an agent's server offer this tool and no other, and clicks go to it. Nobody is there at its address.
    pub async fn register_tool(&self, org_id: Uuid, agent_id: &str, tool: Value) -> Result<()> {
        let routes = json!([{ "tool": tool["name"], "event_type": "button_click" }]);
        let arguments = json!({
            "p_org_id": org_id, "p_agent_id": agent_id, "p_url": "https://agents.example.com/mcp",
            "p_tools": [tool], "p_routes": routes,
        });
        let (status, answer) = self.rpc("register_agent_server", arguments).await?;
        ensure!(status.is_success(), "register_agent_server answered {status}: {answer}");
        Ok(())
    }

    /// Claims until nothing is due, and answers with the calls that are to be made. Those that a policy holds are asked about.
    pub async fn claim_all(&self) -> Result<Vec<Value>> {
        let mut calls = Vec::new();
        loop {
            let arguments = json!({ "p_limit": 100, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
            let (status, answer) = self.rpc("claim_deliveries", arguments).await?;
            ensure!(status.is_success(), "claim_deliveries answered {status}: {answer}");
            let claimed = answer["deliveries"].as_array().context("no deliveries")?;
            calls.extend(claimed.iter().cloned());
            if claimed.is_empty() && answer["next_due_in_seconds"] != 0 {
                return Ok(calls);
            }
        }
    }

    /// Says what came of a call.
    pub async fn finish(&self, call: &Value, outcome: Value) -> Result<()> {
        let arguments =
            json!({ "p_delivery_id": call["id"], "p_fence": call["fence"], "p_outcome": outcome });
        let (status, answer) = self.rpc("finish_delivery", arguments).await?;
        ensure!(
            status.is_success() && answer["finished"] == true,
            "finish_delivery answered {status}: {answer}"
        );
        Ok(())
    }
}
