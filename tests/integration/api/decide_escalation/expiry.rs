//! What is over is not decided any more.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::jobs::maintenance;
use crate::support::escalations::{Office, decide};

// NAME: escalations: what has expired is closed, swept or not
#[tokio::test]
async fn expired() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({ "ask_expires_in_seconds": 60 })).await?;
    let held = office.held(12_000).await?;
    let over = "update chat_escalations set created_at = now() - interval '2 minutes', expires_at = now() - interval '1 minute'";
    sqlx::query(over).execute(stack.database()).await?;
    decide(&office.approver, &held, "approve").await?.problem(409, "escalation_closed")?;
    maintenance::run_maintenance(&stack).await?;
    decide(&office.approver, &held, "approve").await?.problem(409, "escalation_closed")?;
    ensure!(office.approver.get("/chatkit/escalations").await?.expect(200)?["escalations"] == json!([]));
    ensure!(office.calls().await?.is_empty(), "a payment that nobody released is made");
    Ok(())
}

// NAME: escalations: a session that ends takes its own with it
#[tokio::test]
async fn session_ended() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let (held, browser) = (office.held(12_000).await?, office.browser(json!({})).await?);
    office.member.cancel(&office.session).await?.expect(200)?;
    for escalation in [&held, &browser] {
        decide(&office.approver, escalation, "approve").await?.problem(409, "escalation_closed")?;
    }
    let decision = json!({ "escalationId": browser["id"], "decision": "approve", "subjectHash": browser["subjectHash"] });
    office.member.record(&office.session, "hitl_resolved", decision).await?.problem(409, "session_ended")?;
    ensure!(office.approver.get("/chatkit/escalations").await?.expect(200)?["escalations"] == json!([]));
    ensure!(office.calls().await?.is_empty(), "a payment of a session that has ended is made");
    Ok(())
}

// NAME: escalations: what was decided before the end stays decided
#[tokio::test]
async fn decided_before() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let browser = office.browser(json!({})).await?;
    let decided: Value = decide(&office.approver, &browser, "reject").await?.expect(200)?;
    office.member.cancel(&office.session).await?.expect(200)?;
    ensure!(decide(&office.approver, &browser, "reject").await?.expect(200)? == decided);
    let late = decide(&office.member, &browser, "approve").await?.problem(409, "escalation_resolved")?;
    ensure!(late["decision"]["decision"] == "reject", "{late:#}");
    Ok(())
}
