//! Claims and finishes deliveries, as the dispatcher does.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::LocalStack;

impl LocalStack {
    /// Registers an agent server with this tool only, and routes clicks to it. No server listens at
    /// its address.
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

    /// Claims deliveries until none is due, and returns the calls to make. Calls that a policy
    /// holds open an escalation instead.
    pub async fn claim_deliveries(&self) -> Result<Vec<Value>> {
        let mut calls = Vec::new();
        loop {
            let arguments = json!({ "p_limit": 100, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
            let (status, answer) = self.rpc("claim_deliveries", arguments).await?;
            ensure!(status.is_success(), "claim_deliveries answered {status}: {answer}");
            let claimed = answer["deliveries"].as_array().context("the response has no deliveries")?;
            calls.extend(claimed.iter().cloned());
            if claimed.is_empty() && answer["next_due_in_seconds"] != 0 {
                return Ok(calls);
            }
        }
    }

    /// Records the outcome of a call.
    pub async fn finish_delivery(&self, call: &Value, outcome: Value) -> Result<()> {
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
