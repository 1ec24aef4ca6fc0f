//! Active sessions of a user at once.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::Operation;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use super::set_limits;
use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn concurrent_requests_do_not_exceed_the_limit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let colleague = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Member).await?;
    limit_active_sessions(&stack, &caller, 5).await?;
    colleague.open_session().await?;
    let first = caller.open_session().await?;
    let body = || json!({ "agentId": AGENT });
    let responses = try_join_all((0..16).map(|_| caller.post("/chatkit/sessions", body()))).await?;
    let created = responses.iter().filter(|response| response.status == 201).count();
    ensure!(created == 4, "expected 4 more sessions, found {created}");
    for response in responses.into_iter().filter(|response| response.status != 201) {
        let problem = response.problem(409, "too_many_sessions")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.starts_with("At most 5 may be active at once."), "{problem:#}");
    }
    let active: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions where user_id = $1 and status = 'active'")
            .bind(caller.user.id)
            .fetch_one(stack.database())
            .await?;
    ensure!(active == 5, "expected 5 active sessions, found {active}");
    let creations = stack.openai().calls(Operation::CreateSession).len();
    ensure!(creations == 6, "expected 6 creations at OpenAI, found {creations}");
    // Active sessions are not affected by the limit, and neither is another user.
    let resume = json!({ "sessionId": first["id"], "purpose": "resume" });
    caller.post("/chatkit/sessions", resume).await?.expect(200)?;
    caller.record_event(&session_path(&first), "custom_x", json!({})).await?.expect(201)?;
    colleague.open_session().await?;
    // When a session ends, the user may open another one.
    caller.cancel(&session_path(&first)).await?.expect(200)?;
    let key = [("idempotency-key", "the-last")];
    let open = async || caller.send(Method::POST, "/chatkit/sessions", &key, Some(body())).await;
    open().await?.expect(201)?;
    caller.post("/chatkit/sessions", body()).await?.problem(409, "too_many_sessions")?;
    // A replay is not counted.
    open().await?.expect(200)?;

    limit_active_sessions(&stack, &caller, 8).await?;
    let calls = (0..16).map(|_| {
        let arguments = json!({ "p_org_id": caller.user.org_id, "p_user_id": caller.user.id,
            "p_session_id": Uuid::now_v7(), "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {} });
        stack.rpc("open_session", arguments)
    });
    let answers = try_join_all(calls).await?;
    let created = answers.iter().filter(|(status, _)| status.is_success()).count();
    let rejected = answers.iter().filter(|(_, answer)| answer["message"] == "too_many_sessions").count();
    ensure!(
        (created, rejected) == (3, 13),
        "expected 3 created and 13 rejected, found {created} and {rejected}: {answers:?}"
    );
    Ok(())
}

async fn limit_active_sessions(stack: &LocalStack, caller: &TestClient, limit: u32) -> Result<()> {
    let limits = json!({ "p_active_sessions_user": limit, "p_secrets_per_minute_user": 1000 });
    set_limits(stack, caller, limits).await
}
