//! `GET /chatkit/sessions/{id}`: the threads of a session.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn threads_are_those_linked_and_owned_by_the_session_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (session, other) = (caller.open_session().await?, caller.open_session().await?);
    let stranger_session = TestClient::new(&stack).await?.open_session().await?;
    let start_thread = async |session: &Value| -> Result<String> {
        let secret = session["chatkit"]["clientSecret"].as_str().context("no client secret")?;
        Ok(stack.openai().post_message(secret, None, "Hello").await?.thread_id)
    };
    let own = start_thread(&session).await?;
    let unlinked = start_thread(&other).await?;
    let of_stranger = start_thread(&stranger_session).await?;
    // The events link the session's own thread, a stranger's, and one that does not exist.
    for thread in [&own, &of_stranger, &"cthr_none".to_owned()] {
        let payload = json!({ "threadId": thread });
        caller.record_event(&session_path(&session), "thread_changed", payload).await?.expect(201)?;
    }
    let response = caller.get(&session_path(&session)).await?.expect(200)?;
    let threads = response["chatkit"]["threads"].as_array().context("the response has no threads")?;
    let ids: Vec<_> = threads.iter().map(|thread| thread["id"].clone()).collect();
    ensure!(
        ids == [json!(own)],
        "expected {own}, found {ids:?} (unlinked: {unlinked}, of a stranger: {of_stranger})"
    );
    Ok(())
}
