//! Timestamps in responses: microseconds, always with six digits.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{TestClient, session_path};
use crate::support::project_files;

#[tokio::test]
async fn full_second_has_six_digits_in_every_response() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let approver = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Approver).await?;
    let session = session_path(&caller.open_session().await?);
    let escalation = json!({ "reason": "r", "decisions": ["approve"] });
    caller.record_event(&session, "hitl_escalation", escalation).await?.expect(201)?;
    for query in [
        "insert into chat_messages (org_id, user_id, session_id, id, seq, role, content, created_at)
         select org_id, user_id, id, gen_random_uuid(), last_message_seq + 1, 'agent', 'short',
           '2026-11-22T10:00:00.1Z' from chat_sessions",
        "update chat_sessions set last_message_seq = last_message_seq + 1,
           last_activity_at = '2026-11-22T10:00:00Z'",
        "update chat_escalations set created_at = '2026-11-22T10:00:00Z'",
        "update chat_events set created_at = '2026-11-22T10:00:00Z', occurred_at = '2026-11-22T10:00:00.12Z'",
        "update agents set created_at = '2026-11-22T10:00:00Z', updated_at = '2026-11-22T10:00:00Z'",
    ] {
        sqlx::query(query).execute(stack.database()).await?;
    }
    let metrics_path = "/chatkit/metrics?from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z";
    let second = "2026-11-22T10:00:00.000000Z";
    let mut failures = Vec::new();
    for (caller, path, pointer, expected) in [
        (&caller, session.clone(), "/lastActivityAt", second),
        (&caller, session.clone(), "/events/0/createdAt", second),
        (&caller, session.clone(), "/events/0/occurredAt", "2026-11-22T10:00:00.120000Z"),
        (&caller, session.clone(), "/escalations/0/createdAt", second),
        (&caller, "/chatkit/sessions".to_owned(), "/sessions/0/lastActivityAt", second),
        (&caller, format!("{session}/messages"), "/messages/0/createdAt", "2026-11-22T10:00:00.100000Z"),
        (&approver, "/chatkit/escalations".to_owned(), "/escalations/0/createdAt", second),
        (&approver, metrics_path.to_owned(), "/from", "2026-11-22T00:00:00.000000Z"),
    ] {
        let response = caller.get(&path).await?.expect(200)?;
        let found = response.pointer(pointer).and_then(Value::as_str);
        if found != Some(expected) {
            failures.push(format!("{path} {pointer}: expected {expected}, found {found:?}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));

    let arguments = json!({ "p_org_id": caller.user.org_id, "p_agent_id": "another",
        "p_display_name": "Another", "p_description": "", "p_chatkit_workflow_id": "wf_1" });
    let (_, registered) = stack.rpc("register_agent", arguments).await?;
    let created_at = registered["agent"]["created_at"].as_str().unwrap_or_default();
    ensure!(project_files::is_time(created_at), "expected a time, found {registered:#}");
    Ok(())
}
