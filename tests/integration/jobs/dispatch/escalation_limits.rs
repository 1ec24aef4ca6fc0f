//! Limits of the escalations that pages may have open.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{EscalationFixture, decide};

#[tokio::test]
async fn open_page_escalations_are_limited_per_session_and_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let no_fields = json!({});
    let mut sessions = vec![fixture.session.clone()];
    // A request above the limit opens no escalation.
    escalate(&fixture.member, &fixture.session, 21, &no_fields)
        .await?
        .problem(409, "too_many_escalations")?;
    let open = fixture.count("select count(*) from chat_escalations").await?;
    ensure!(open == 0, "expected no escalation of the rejected request, found {open}");
    escalate(&fixture.member, &fixture.session, 20, &no_fields).await?.expect(201)?;
    escalate(&fixture.member, &fixture.session, 1, &no_fields).await?.problem(409, "too_many_escalations")?;
    for _ in 1..5 {
        let session = fixture.member.open_session_path().await?;
        escalate(&fixture.member, &session, 20, &no_fields).await?.expect(201)?;
        sessions.push(session);
    }
    let sixth = fixture.member.open_session_path().await?;
    escalate(&fixture.member, &sixth, 1, &no_fields).await?.problem(409, "too_many_escalations")?;
    // The limits do not apply to other events or other users.
    fixture.member.record_event(&sixth, "custom_x", json!({})).await?.expect(201)?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let colleague_session = colleague.open_session_path().await?;
    escalate(&colleague, &colleague_session, 20, &no_fields).await?.expect(201)?;
    // A decision and the end of a session free capacity.
    let newest = fixture.newest_escalation("browser").await?;
    decide(&fixture.member, &newest, "reject").await?.expect(200)?;
    escalate(&fixture.member, &sixth, 1, &json!({ "expiresInSeconds": 60 })).await?.expect(201)?;
    escalate(&fixture.member, &sixth, 1, &no_fields).await?.problem(409, "too_many_escalations")?;
    fixture.member.cancel(&sessions[4]).await?.expect(200)?;
    escalate(&fixture.member, &sixth, 19, &no_fields).await?.expect(201)?;
    escalate(&fixture.member, &sixth, 1, &no_fields).await?.problem(409, "too_many_escalations")?;

    let lifetimes = "
        select
          count(*) filter (
            where expires_at - created_at between interval '30 days' - interval '5 s' and interval '30 days' + interval '5 s'
          ),
          count(*) filter (where expires_at is null),
          count(*)
        from chat_escalations";
    let (thirty_days, unlimited, all): (i64, i64, i64) =
        sqlx::query_as(lifetimes).fetch_one(stack.database()).await?;
    ensure!(
        (thirty_days, unlimited, all) == (139, 0, 140),
        "expected 139 of 140 with 30 days, found {thirty_days} of {all}, {unlimited} without expiry"
    );
    Ok(())
}

/// Opens `count` escalations in one request.
async fn escalate(client: &TestClient, session: &str, count: usize, fields: &Value) -> Result<TestResponse> {
    let events: Vec<Value> = (0..count)
        .map(|_| {
            let mut payload = json!({ "reason": "Help", "decisions": ["approve"] });
            if let (Some(payload), Some(fields)) = (payload.as_object_mut(), fields.as_object()) {
                payload.extend(fields.clone());
            }
            json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload })
        })
        .collect();
    client.post(&format!("{session}/events"), json!(events)).await
}
