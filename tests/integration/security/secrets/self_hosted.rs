//! Client secrets of self-hosted agents, which no system but this one knows.

use anyhow::{Result, ensure};
use http_client::Method;
use serde_json::json;

use super::leak_detector::LeakDetector;
use super::{event, run_maintenance, with_trace_log};
use crate::support::client::{TestClient, session_path};

const AGENTS: [&str; 2] = ["own_agent", "other_own_agent"];

/// A secret is issued, replaced, handed over and revoked.
#[tokio::test]
async fn secrets_of_self_hosted_agents_do_not_leak() -> Result<()> {
    let stack = with_trace_log().start().await?;
    let (mut detector, caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    for agent in AGENTS {
        stack.register_self_hosted_agent(caller.user.org_id, agent, json!({})).await?;
    }
    let path = "/chatkit/sessions";
    let opening = json!({ "agentId": AGENTS[0] });
    let ended = detector.send_with_key(&caller, path, Some(opening.clone())).await?.expect(201)?;
    let kept = detector.send_with_key(&caller, path, Some(opening)).await?.expect(201)?;
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let rejection = json!({ "sessionId": ended["id"], "purpose": "refresh", "rejected": true });
    let renewed = detector.send(&caller, Method::POST, path, Some(rejection)).await?.expect(200)?;
    ensure!(renewed["chatkit"] != ended["chatkit"], "the rejected secret was returned");
    for session in [&ended, &kept] {
        let handover = event("handover", json!({ "agentId": AGENTS[1] }));
        let events = format!("{}/events", session_path(session));
        detector.send_with_key(&caller, &events, handover).await?.expect(201)?;
        detector.send(&caller, Method::GET, &session_path(session), None).await?.expect(200)?;
    }
    detector
        .send(&caller, Method::POST, &format!("{}/cancel", session_path(&ended)), None)
        .await?
        .expect(200)?;
    ensure!(run_maintenance(&stack, &mut detector).await, "the maintenance failed");
    let stored: i64 = sqlx::query_scalar("select count(secret_hash) from chatkit_sessions")
        .fetch_one(stack.database())
        .await?;
    ensure!(stored == 1, "expected 1 stored hash, found {stored}");
    detector.search(&stack).await?.expect_no_leaks()
}
