//! `GET /chatkit/sessions/{id}`: the lists of a session.

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

/// A list that is not named in `cut` has all entries.
#[tokio::test]
async fn incomplete_lists_are_named_in_cut() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = session_path(&caller.open_session().await?);
    let shown = async |list: &str| -> Result<(usize, Value, Value)> {
        let response = caller.get(&session).await?.expect(200)?;
        let entries = response.pointer(list).and_then(Value::as_array).context("no list")?;
        let newest = response["events"].as_array().and_then(|events| events.last().cloned());
        Ok((entries.len(), response["cut"].clone(), newest.context("no event")?["seq"].clone()))
    };
    // Ten of the linked threads that OpenAI does not list among the newest are read one by one.
    for number in 1..=11 {
        let payload = json!({ "threadId": format!("cthr_{number}") });
        caller.record_event(&session, "thread_changed", payload).await?.expect(201)?;
        let cut = if number <= 10 { json!([]) } else { json!(["threads"]) };
        let found = shown("/chatkit/threads").await?;
        ensure!(found == (0, cut, json!(number)), "{number} linked threads: {found:?}");
    }
    sqlx::query("delete from chatkit_threads").execute(stack.database()).await?;
    for number in 12..=21 {
        caller.record_event(&session, "custom_x", json!({})).await?.expect(201)?;
        let cut = if number <= 20 { json!([]) } else { json!(["events"]) };
        let found = shown("/events").await?;
        ensure!(found == (number.min(20), cut, json!(number)), "{number} events: {found:?}");
    }
    let insert = "
        insert into chat_tasks (org_id, user_id, session_id, id, title, status)
        select org_id, user_id, id, 'task_' || n, repeat(chr(1), 500), 'running'
        from chat_sessions, generate_series($1::integer, $2::integer) as n";
    for (first, last, cut) in [(1, 300, json!(["events"])), (301, 400, json!(["events", "tasks"]))] {
        sqlx::query(insert).bind(first).bind(last).execute(stack.database()).await?;
        let (tasks, found, _) = shown("/tasks").await?;
        let has_all = tasks == usize::try_from(last)?;
        ensure!(has_all == (last == 300) && found == cut, "{tasks} of {last} tasks, cut: {found}");
    }
    Ok(())
}
