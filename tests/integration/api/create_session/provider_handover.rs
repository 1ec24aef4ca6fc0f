//! Handover between agents of either provider.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Operation, SessionStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use super::self_hosted::{
    OWN, count, expect_no_request_to_openai, expect_rejected, expect_usable, member, open, renew, secret,
    session_of_secret, settings,
};
use crate::support::client::{AGENT, TestClient, session_path};

const OTHER_OWN: &str = "other_own_agent";

#[tokio::test]
async fn secret_survives_a_handover_between_self_hosted_agents() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    let session = open(&caller, OWN).await?;
    hand_over(&caller, &session, OTHER_OWN).await?;
    expect_usable(&stack, &session).await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(renewed["agentId"] == OTHER_OWN, "{renewed:#}");
    ensure!(
        renewed["chatkit"]["clientSecret"] == session["chatkit"]["clientSecret"],
        "expected the secret of {session:#}, found {renewed:#}"
    );
    ensure!(renewed["chatkit"]["startScreen"] == json!({ "greeting": "Other" }), "{renewed:#}");
    let copied = settings(&stack, &session).await?;
    let expected = json!(["other", "Be thorough", "high", 5000, 4096, 300, OTHER_OWN]);
    ensure!(copied == expected, "expected {expected}, found {copied}");
    // The secret belongs to the new agent: it is refused with that agent, not with the old one.
    disable(&stack, OWN).await?;
    expect_usable(&stack, &session).await?;
    disable(&stack, OTHER_OWN).await?;
    expect_rejected(&stack, &session, "agent_forbidden").await?;
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn handover_to_a_hosted_agent_makes_the_own_secret_useless() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    let session = open(&caller, OWN).await?;
    hand_over(&caller, &session, AGENT).await?;
    expect_rejected(&stack, &session, "client_secret_rejected").await?;
    let copied = count(&stack, "select count(*) from session_model_settings").await?;
    ensure!(copied == 0, "expected no model settings, found {copied}");
    expect_no_request_to_openai(&stack)?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(renewed["chatkit"]["provider"] == "openai_hosted", "{renewed:#}");
    stack.openai().post_message(secret(&renewed)?, None, "Hello?").await?;
    Ok(())
}

#[tokio::test]
async fn handover_to_a_self_hosted_agent_cancels_the_secret_at_openai() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    let session = open(&caller, AGENT).await?;
    hand_over(&caller, &session, OWN).await?;
    let live = stack.openai().sessions().into_iter().filter(|s| s.status == SessionStatus::Active).count();
    ensure!(live == 0, "expected no live session at OpenAI, found {live}");
    stack.openai().clear_requests();
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(renewed["chatkit"]["provider"] == "self_hosted", "{renewed:#}");
    expect_usable(&stack, &renewed).await?;
    settings(&stack, &session).await?;
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn handover_between_hosted_agents_is_as_before() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = open(&caller, AGENT).await?;
    hand_over(&caller, &session, "tax_compliance").await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(renewed["chatkit"]["sessionId"] != session["chatkit"]["sessionId"], "{renewed:#}");
    let (created, cancelled) = (Operation::CreateSession, Operation::CancelSession);
    let calls = (stack.openai().calls(created).len(), stack.openai().calls(cancelled).len());
    ensure!(calls == (2, 1), "expected 2 creations and 1 cancellation, found {calls:?}");
    Ok(())
}

/// A secret that is requested while the session is handed over belongs to the agent that the
/// session has when it is recorded, if that one is self-hosted, too.
#[tokio::test]
async fn secret_requested_before_a_handover_is_recorded_for_a_self_hosted_agent_only() -> Result<()> {
    for (next, recorded) in [(OTHER_OWN, true), (AGENT, false)] {
        let stack = LocalStack::start().await?;
        let caller = member_with_agents(&stack).await?;
        let session = open(&caller, OWN).await?;
        let request = Uuid::now_v7();
        let renewal = json!({
            "p_org_id": caller.user.org_id, "p_user_id": caller.user.id, "p_session_id": session["id"],
            "p_purpose": "resume", "p_min_life_seconds": 3600, "p_chatkit_request_id": request,
            "p_providers": ["self_hosted"],
        });
        let (status, response) = stack.rpc("renew_chatkit_session", renewal).await?;
        ensure!(status.is_success(), "{status}: {response}");
        hand_over(&caller, &session, next).await?;
        let result = json!({
            "p_org_id": caller.user.org_id, "p_session_id": session["id"],
            "p_chatkit_request_id": request, "p_chatkit_session_id": "cksess_late",
            "p_sealed_secret": "sealed", "p_sealing_key_id": "k1", "p_secret_hash": "0".repeat(64),
        });
        let (status, response) = stack.rpc("record_chatkit_session", result).await?;
        ensure!(status == 200 && response["recorded"] == recorded, "{next}: {status} {response}");
    }
    Ok(())
}

#[tokio::test]
async fn voice_session_is_not_handed_over_to_a_self_hosted_agent() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    let body = json!({ "agentId": AGENT, "channel": "voice" });
    let session = caller.post("/chatkit/sessions", body).await?.expect(201)?;
    let path = session_path(&session);
    let handover = caller.record_event(&path, "handover", json!({ "agentId": OWN })).await?;
    handover.problem(422, "channel_unavailable")?;
    let read = caller.get(&path).await?.expect(200)?;
    ensure!(read["agentId"] == AGENT, "{read:#}");
    Ok(())
}

/// The settings are those of the registration at the time of the handover.
#[tokio::test]
async fn handover_copies_the_current_settings() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member_with_agents(&stack).await?;
    let session = open(&caller, OWN).await?;
    hand_over(&caller, &session, OTHER_OWN).await?;
    let settings_of_own = json!({ "p_model": "changed" });
    stack.register_self_hosted_agent(caller.user.org_id, OWN, settings_of_own).await?;
    hand_over(&caller, &session, OWN).await?;
    let copied = settings(&stack, &session).await?;
    ensure!(copied[0] == "changed", "expected the model changed, found {copied}");
    let again = caller.record_event(&session_path(&session), "handover", json!({ "agentId": OWN })).await?;
    again.expect(201)?;
    let found = session_of_secret(&stack, secret(&session)?).await?;
    ensure!(found.is_ok(), "{found:?}");
    Ok(())
}

async fn member_with_agents(stack: &LocalStack) -> Result<TestClient> {
    let caller = member(stack).await?;
    let settings = json!({
        "p_model": "other", "p_instructions": "Be thorough", "p_reasoning_effort": "high",
        "p_max_input_tokens": 5000, "p_start_screen": { "greeting": "Other" },
    });
    stack.register_self_hosted_agent(caller.user.org_id, OTHER_OWN, settings).await?;
    Ok(caller)
}

async fn hand_over(caller: &TestClient, session: &Value, agent_id: &str) -> Result<()> {
    let path = session_path(session);
    let event = caller.record_event(&path, "handover", json!({ "agentId": agent_id })).await?;
    event.expect(201).with_context(|| format!("handing over to {agent_id}"))?;
    Ok(())
}

async fn disable(stack: &LocalStack, agent_id: &str) -> Result<()> {
    let query = "update agents set enabled = false where id = $1";
    sqlx::query(query).bind(agent_id).execute(stack.database()).await?;
    Ok(())
}
