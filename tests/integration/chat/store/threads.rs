//! Changes of threads: replaced answers, deletion, titles and feedback. Nothing is deleted from a
//! transcript, and no caller reads hidden items.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use super::Chat;
use crate::support::chat_rpc::{Question, item, texts};

/// The content and the mark of each message of a transcript.
async fn transcript(chat: &Chat, session_id: uuid::Uuid) -> Result<Vec<(String, bool)>> {
    let query = "select content, hidden_at is not null from chat_messages where session_id = $1 order by seq";
    Ok(sqlx::query_as(query).bind(session_id).fetch_all(chat.stack.database()).await?)
}

#[tokio::test]
async fn retry_hides_the_replaced_answers_and_deletes_nothing() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let first = Question::in_new_thread("first");
    let thread = &first.thread_id;
    session.answer(&chat.stack, &first, "one").await?;
    let second = Question::in_thread(thread, "second");
    session.expect_begin(&chat.stack, &second, "begun").await?;
    let answer = vec![json!({ "type": "reasoning", "id": "rs_1" }), item("assistant_message", thread, "two")];
    let answer_id = answer[1]["id"].clone();
    session.finish(&chat.stack, second.run_id, "completed", answer).await?;
    let message = second.items[0]["id"].as_str().unwrap_or_default();

    let retry = Question::retry(thread, message).with_key("1");
    let begun = session.expect_begin(&chat.stack, &retry, "begun").await?;
    ensure!(begun["removed_item_ids"] == json!([answer_id]), "{begun}");
    ensure!(begun["question"]["id"] == message, "{begun}");
    let found = texts(&begun["history"]["items"]);
    ensure!(found == ["first", "one", "second"], "the model receives {found:?}");
    let other = item("assistant_message", thread, "another");
    session.finish(&chat.stack, retry.run_id, "completed", vec![other]).await?;
    let found = texts(&session.items(&chat.stack, thread).await?);
    ensure!(found == ["first", "one", "second", "another"], "{found:?}");
    let expected = [("first", false), ("one", false), ("second", false), ("two", true), ("another", false)];
    let found = transcript(&chat, session.id).await?;
    ensure!(found == expected.map(|(text, hidden)| (text.to_owned(), hidden)), "{found:?}");
    ensure!(chat.count("chat_hidden_items where hidden_at is not null").await? == 1);

    // An item that is gone cannot be rated, continued from, or retried.
    let gone = json!({
        "p_thread_id": thread, "p_item_ids": [answer_id], "p_rating": "positive",
        "p_feedback_id": second.run_id,
    });
    session.expect_error(&chat.stack, "record_chat_feedback", gone, (404, "item_not_found")).await?;
    for item_id in ["msg_unknown", other_id(&begun)] {
        let (status, body) = session.begin(&chat.stack, &Question::retry(thread, item_id)).await?;
        ensure!(status == 404 && body["message"] == "item_not_found", "{item_id}: {status} {body}");
    }
    Ok(())
}

/// The id of an item that is not a message of the user.
fn other_id(begun: &Value) -> &str {
    begun["history"]["items"][1]["id"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn deleted_thread_is_gone_and_its_transcript_remains() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "one").await?;
    let running = Question::in_thread(thread, "second");
    session.expect_begin(&chat.stack, &running, "begun").await?;
    let delete = || json!({ "p_thread_id": thread });
    session.expect(&chat.stack, "delete_chat_thread", delete()).await?;
    session.expect(&chat.stack, "delete_chat_thread", delete()).await?;
    ensure!(chat.count("chat_events where type = 'thread_deleted'").await? == 1);
    // The running answer ends after the deletion.
    let part = item("assistant_message", thread, "a part");
    let hidden = json!({ "type": "reasoning", "id": "rs_1" });
    ensure!(session.finish(&chat.stack, running.run_id, "stopped", vec![part, hidden]).await?);

    ensure!(session.thread_ids(&chat.stack).await?.is_empty());
    let list = json!({ "p_thread_id": thread, "p_limit": 10, "p_descending": true });
    session.expect_error(&chat.stack, "list_chat_items", list, (404, "thread_not_found")).await?;
    let (status, _) = session.begin(&chat.stack, &Question::in_thread(thread, "x")).await?;
    ensure!(status == 404, "{status}");
    let found = transcript(&chat, session.id).await?;
    let expected = ["first", "one", "second", "a part"].map(|text| (text.to_owned(), true));
    ensure!(found == expected, "{found:?}");
    ensure!(chat.count("chat_hidden_items where hidden_at is null").await? == 0);
    Ok(())
}

#[tokio::test]
async fn titles_and_feedback_are_recorded_once_as_events() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "one").await?;
    let rename = |title: &str| json!({ "p_thread_id": thread, "p_title": title });
    for title in ["Invoices", "Invoices"] {
        let renamed = session.expect(&chat.stack, "rename_chat_thread", rename(title)).await?;
        ensure!(renamed["thread"]["title"] == title, "{renamed}");
    }
    ensure!(chat.count("chat_events where type = 'thread_renamed'").await? == 1);
    for title in [String::new(), "x".repeat(201)] {
        session
            .expect_error(&chat.stack, "rename_chat_thread", rename(&title), (422, "invalid_item"))
            .await?;
    }
    let item_id = &question.items[0]["id"];
    let feedback = json!({
        "p_thread_id": thread, "p_item_ids": [item_id, item_id], "p_rating": "negative",
        "p_feedback_id": question.run_id,
    });
    session.expect(&chat.stack, "record_chat_feedback", feedback).await?;
    let payload: Value = sqlx::query_scalar("select payload from chat_events where type = 'feedback'")
        .fetch_one(chat.stack.database())
        .await?;
    ensure!(payload == json!({ "threadId": thread, "itemId": item_id, "rating": "negative" }), "{payload}");
    Ok(())
}

/// Like other events of a page, they have a limit.
#[tokio::test]
async fn changes_of_threads_are_charged_as_events() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "one").await?;
    let rename = |title: &str| json!({ "p_thread_id": thread, "p_title": title });
    session.expect(&chat.stack, "rename_chat_thread", rename("Invoices")).await?;
    ensure!(chat.count("throttles where kind = 'event'").await? == 2, "the change is not charged");
    // Nothing is left for an hour.
    chat.execute("update throttles set full_at = now() + interval '1 hour' where kind = 'event'").await?;
    let item_id = &question.items[0]["id"];
    let feedback = json!({
        "p_thread_id": thread, "p_item_ids": [item_id], "p_rating": "positive",
        "p_feedback_id": question.run_id,
    });
    for (name, arguments) in [
        ("rename_chat_thread", rename("Other")),
        ("record_chat_feedback", feedback),
        ("delete_chat_thread", json!({ "p_thread_id": thread })),
    ] {
        session.expect_error(&chat.stack, name, arguments, (429, "rate_limited")).await?;
    }
    ensure!(
        chat.count("chat_events").await? == 1
            && chat.count("chat_threads where hidden_at is null").await? == 1
    );
    Ok(())
}

#[tokio::test]
async fn hidden_items_reach_the_model_and_no_reader() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    session.expect_begin(&chat.stack, &question, "begun").await?;
    let hidden = ["hidden_context_item", "reasoning", "function_call", "function_call_output"]
        .map(|kind| json!({ "type": kind, "id": kind, "secret": "s3cret" }));
    session.append(&chat.stack, question.run_id, 1, hidden.to_vec(), Vec::new()).await?;
    session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
    ensure!(session.items(&chat.stack, thread).await?.as_array().map_or(0, Vec::len) == 1);
    let begun = session.expect_begin(&chat.stack, &Question::in_thread(thread, "second"), "begun").await?;
    ensure!(begun["history"]["items"].as_array().map_or(0, Vec::len) == 6, "{begun}");

    let owner = chat.stack.add_user(chat.user.org_id, OrgRole::Owner).await?;
    let (of_user, of_owner) = (chat.stack.issuer().token(&chat.user), chat.stack.issuer().token(&owner));
    let supabase = chat.stack.supabase();
    let keys = [supabase.publishable_key(), supabase.secret_key(), &of_user, &of_owner];
    for key in keys {
        for path in ["/chat_hidden_items", "/chat_hidden_items?select=item", "/chat_runs", "/chat_run_chunks"]
        {
            let (status, body) = chat.stack.rest(key, Method::GET, path, None).await?;
            ensure!(!status.is_success() && !body.to_string().contains("s3cret"), "{path}: {status} {body}");
        }
        let messages = "/chat_messages?select=*";
        let (_, body) = chat.stack.rest(key, Method::GET, messages, None).await?;
        ensure!(!body.to_string().contains("s3cret"), "{body}");
    }
    let arguments = json!({ "p_session_id": session.id, "p_limit": 100, "p_all_kinds": true });
    let (status, body) =
        chat.stack.rest(&of_owner, Method::POST, "/rpc/list_messages", Some(arguments)).await?;
    ensure!(status.is_success() && body["rows"].as_array().map_or(0, Vec::len) == 2, "{status} {body}");
    ensure!(!body.to_string().contains("s3cret"), "{body}");
    Ok(())
}
