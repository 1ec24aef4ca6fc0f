//! Events of a session in a minute.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::set_limits;
use crate::support::client::TestClient;

#[tokio::test]
async fn batch_beyond_the_limit_is_rejected_as_a_whole() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    set_limits(&stack, &caller, json!({ "p_events_per_minute_session": 100 })).await?;
    let events = format!("{}/events", caller.open_session_path().await?);
    let batch =
        |n: usize| -> Value { (0..n).map(|_| json!({ "id": Uuid::new_v4(), "type": "custom_x" })).collect() };
    let first = batch(70);
    caller.post(&events, first.clone()).await?.expect(201)?;
    caller.post(&events, batch(70)).await?.problem(429, "rate_limited")?;
    // Events that are recorded already are not counted again.
    caller.post(&events, first).await?.expect(201)?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from chat_events").fetch_one(stack.database()).await?;
    ensure!(count == 70, "expected 70 events, found {count}");
    Ok(())
}
