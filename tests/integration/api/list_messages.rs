//! `GET /chatkit/sessions/{id}/messages`: the kinds of messages.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::self_hosted::{SelfHostedSession, item, thread_id};

#[tokio::test]
async fn other_kinds_and_items_are_listed_on_request() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let thread = thread_id();
    let run = session.begin_run(&stack, &thread, "Show invoice 42").await?;
    let mut widget = item(&thread, "widget", Value::Null);
    widget["widget"] = json!({ "type": "Card", "children": [], "amount": 12_345_678_901_234_567_890_u64 });
    let text = json!([{ "type": "output_text", "text": "Here it is.", "annotations": [] }]);
    let hidden = item(&thread, "hidden_context_item", json!("the user is in a hurry"));
    let answer = item(&thread, "assistant_message", text);
    session.finish_run(&stack, run, &[widget.clone(), hidden, answer.clone()]).await?;

    let said = messages(&session.caller, &session.path, "").await?;
    ensure!(kinds(&said) == ["user_message", "assistant_message"], "expected the messages, found {said:?}");
    ensure!(
        said.iter().all(|message| message.get("item").is_none() && message["threadId"] == thread),
        "expected no items, found {said:?}"
    );
    ensure!(messages(&session.caller, &session.path, "?kinds=messages").await? == said, "another default");

    let all = messages(&session.caller, &session.path, "?kinds=all").await?;
    ensure!(kinds(&all) == ["user_message", "widget", "assistant_message"], "expected all, found {all:?}");
    ensure!(all[1]["item"] == widget && all[2]["item"] == answer, "expected the items, found {all:?}");
    ensure!(!all.iter().any(|message| message.to_string().contains("hurry")), "a hidden item is listed");

    // A page of one kind continues after rows of another kind.
    let first = session.caller.get(&format!("{}/messages?limit=1", session.path)).await?.expect(200)?;
    let cursor = first["nextCursor"].as_str().context("no second page")?;
    let second = messages(&session.caller, &session.path, &format!("?limit=1&cursor={cursor}")).await?;
    ensure!(second == said[1..], "expected the answer, found {second:?}");
    Ok(())
}

#[tokio::test]
async fn removed_messages_stay_in_the_transcript_and_are_marked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let (deleted, kept) = (thread_id(), thread_id());
    session.answer(&stack, &deleted, "Is invoice 42 paid?", "Yes.").await?;
    session.answer(&stack, &kept, "And 43?", "No.").await?;
    session.delete_thread(&stack, &deleted).await?;
    let said = messages(&session.caller, &session.path, "").await?;
    let marked: Vec<bool> = said.iter().map(|message| message.get("hiddenAt").is_some()).collect();
    ensure!(marked == [true, true, false, false], "expected two removed messages, found {said:?}");
    Ok(())
}

#[tokio::test]
async fn messages_of_hosted_sessions_have_no_fields_of_the_chat() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let arguments = json!({
        "p_org_id": caller.user.org_id, "p_session_id": session["id"],
        "p_messages": [{ "id": uuid::Uuid::new_v4(), "role": "system", "content": "Paid" }],
    });
    let (status, answer) = stack.rpc("record_messages", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    let path = crate::support::client::session_path(&session);
    for query in ["", "?kinds=all"] {
        let listed = messages(&caller, &path, query).await?;
        let [message] = &listed[..] else { anyhow::bail!("expected one message, found {listed:?}") };
        for field in ["threadId", "kind", "item", "hiddenAt"] {
            ensure!(message.get(field).is_none(), "{query}: expected no {field}, found {message}");
        }
    }
    Ok(())
}

async fn messages(caller: &TestClient, session: &str, query: &str) -> Result<Vec<Value>> {
    let page = caller.get(&format!("{session}/messages{query}")).await?.expect(200)?;
    Ok(page["messages"].as_array().context("the response has no messages")?.clone())
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["kind"].as_str().unwrap_or("none")).collect()
}
