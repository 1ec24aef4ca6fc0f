//! Handover by an agent's answer to an agent of another provider.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, session_path};

const OWN: &str = "own_agent";

#[tokio::test]
async fn agent_hands_a_web_session_over_to_a_self_hosted_agent() -> Result<()> {
    let (result, session) = hand_over("web").await?;
    ensure!(result["handoverRefused"].is_null(), "{result:#}");
    ensure!(session == json!([OWN, "self_hosted", "model-1"]), "{session}");
    Ok(())
}

#[tokio::test]
async fn agent_does_not_hand_a_voice_session_over_to_a_self_hosted_agent() -> Result<()> {
    let (result, session) = hand_over("voice").await?;
    let expected = json!({ "agentId": OWN, "reason": "channel_unavailable" });
    ensure!(result["handoverRefused"] == expected, "expected {expected}, found {result:#}");
    ensure!(session == json!([AGENT, "openai_hosted", null]), "{session}");
    Ok(())
}

/// Returns the recorded result of the agent, and the session's agent, provider and model.
async fn hand_over(channel: &str) -> Result<(Value, Value)> {
    let stack = LocalStack::start().await?;
    stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    let client = TestClient::new(&stack).await?;
    stack.register_self_hosted_agent(client.user.org_id, OWN, json!({})).await?;
    stack.register_tool(client.user.org_id, AGENT, json!({ "name": "pay", "policy": "auto" })).await?;
    let opening = json!({ "agentId": AGENT, "channel": channel });
    let session = client.post("/chatkit/sessions", opening).await?.expect(201)?;
    let path = session_path(&session);
    client.record_event(&path, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
    let calls = stack.claim_deliveries().await?;
    let call = calls.first().context("no delivery was claimed")?;
    let outcome = json!({ "kind": "completed", "handover": { "agent_id": OWN } });
    stack.finish_delivery(call, outcome).await?;
    let events = client.get(&path).await?.expect(200)?["events"].as_array().cloned().unwrap_or_default();
    let result = events.into_iter().find(|event| event["type"] == "agent_result").context("no result")?;
    let query = "select jsonb_build_array(s.agent_id, s.provider, m.model)
        from chat_sessions as s left join session_model_settings as m on m.session_id = s.id";
    let session = sqlx::query_scalar(query).fetch_one(stack.database()).await?;
    Ok((result["payload"].clone(), session))
}
