//! Limits of the escalations that pages may have open.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{EscalationFixture, decide};

async fn escalate(caller: &TestClient, session: &str, number: usize, more: &Value) -> Result<TestResponse> {
    let events: Vec<Value> = (0..number)
        .map(|_| {
            let mut payload = json!({ "reason": "Help", "decisions": ["approve"] });
            if let (Some(payload), Some(more)) = (payload.as_object_mut(), more.as_object()) {
                payload.extend(more.clone());
            }
            json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload })
        })
        .collect();
    caller.post(&format!("{session}/events"), json!(events)).await
}

#[tokio::test]
async fn open_page_escalations_are_limited_per_session_and_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let none = json!({});
    let mut sessions = vec![fixture.session.clone()];
    // All or nothing.
    escalate(&fixture.member, &fixture.session, 21, &none).await?.problem(409, "too_many_escalations")?;
    ensure!(
        fixture.count("select count(*) from chat_escalations").await? == 0,
        "some of a refused body are open"
    );
    escalate(&fixture.member, &fixture.session, 20, &none).await?.expect(201)?;
    escalate(&fixture.member, &fixture.session, 1, &none).await?.problem(409, "too_many_escalations")?;
    for _ in 1..5 {
        let session = fixture.member.open_path().await?;
        escalate(&fixture.member, &session, 20, &none).await?.expect(201)?;
        sessions.push(session);
    }
    let sixth = fixture.member.open_path().await?;
    escalate(&fixture.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;
    // Other events are recorded, and other people ask.
    fixture.member.record(&sixth, "custom_x", json!({})).await?.expect(201)?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let colleagues = colleague.open_path().await?;
    escalate(&colleague, &colleagues, 20, &none).await?.expect(201)?;
    // What is decided makes room, and so does what ends.
    let open = fixture.newest_escalation("browser").await?;
    decide(&fixture.member, &open, "reject").await?.expect(200)?;
    escalate(&fixture.member, &sixth, 1, &json!({ "expiresInSeconds": 60 })).await?.expect(201)?;
    escalate(&fixture.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;
    fixture.member.cancel(&sessions[4]).await?.expect(200)?;
    escalate(&fixture.member, &sixth, 19, &none).await?.expect(201)?;
    escalate(&fixture.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;

    let lives = "select count(*) filter (where expires_at - created_at between interval '30 days' - interval '5 s' and interval '30 days' + interval '5 s'), count(*) filter (where expires_at is null), count(*)
        from chat_escalations";
    let (month, endless, all): (i64, i64, i64) = sqlx::query_as(lives).fetch_one(stack.database()).await?;
    ensure!(
        (month, endless, all) == (139, 0, 140),
        "{month} of {all} for thirty days, {endless} without an end"
    );
    Ok(())
}
