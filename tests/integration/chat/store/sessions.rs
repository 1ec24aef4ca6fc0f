//! Which threads a session shows: those of its user, organisation and agent, from any session.

use anyhow::{Result, ensure};
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use super::Chat;
use crate::support::chat_rpc::{
    self as rpc, CHAT_AGENT, OTHER_CHAT_AGENT, Question, end_lease, run_status, texts,
};

#[tokio::test]
async fn threads_are_shown_to_their_user_with_their_agent_only() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "Good morning").await?;

    // Other sessions of the user show the thread and continue it, also after the first has ended.
    session.cancel(&chat.stack).await?;
    let second = chat.open().await?;
    ensure!(second.thread_ids(&chat.stack).await? == [thread.as_str()]);
    second.answer(&chat.stack, &Question::in_thread(thread, "And now?"), "Noon").await?;
    let expected = ["Hello", "Good morning", "And now?", "Noon"];
    let found = texts(&second.items(&chat.stack, thread).await?);
    ensure!(found == expected, "{found:?}");

    let colleague = chat.stack.add_user(chat.user.org_id, OrgRole::Owner).await?;
    let other_org = Uuid::new_v4();
    rpc::register_agents(&chat.stack, other_org).await?;
    let stranger = chat.stack.add_user(other_org, OrgRole::Owner).await?;
    let mut others = vec![
        rpc::open_session(&chat.stack, &chat.user, OTHER_CHAT_AGENT).await?,
        rpc::open_session(&chat.stack, &colleague, CHAT_AGENT).await?,
        rpc::open_session(&chat.stack, &stranger, CHAT_AGENT).await?,
    ];
    // The same person as a member of the other organisation.
    let mut moved = chat.user.clone();
    moved.org_id = other_org;
    chat.stack.upsert_user(&moved).await?;
    others.push(rpc::open_session(&chat.stack, &moved, CHAT_AGENT).await?);
    for other in &others {
        let ids = other.thread_ids(&chat.stack).await;
        let is_agent_only = other.user.org_id == chat.user.org_id && other.user.id == chat.user.id;
        if is_agent_only {
            // The user has left the organisation.
            ensure!(ids.is_err());
            continue;
        }
        ensure!(ids?.is_empty(), "{other:?} shows the thread");
        for (name, arguments) in [
            ("list_chat_items", json!({ "p_thread_id": thread, "p_limit": 10, "p_descending": true })),
            ("list_chat_threads", json!({ "p_limit": 10, "p_descending": true, "p_after": thread })),
            ("rename_chat_thread", json!({ "p_thread_id": thread, "p_title": "Mine" })),
            ("delete_chat_thread", json!({ "p_thread_id": thread })),
            (
                "record_chat_feedback",
                json!({
                    "p_thread_id": thread, "p_item_ids": [], "p_rating": "positive",
                    "p_feedback_id": question.run_id,
                }),
            ),
        ] {
            other.expect_error(&chat.stack, name, arguments, (404, "thread_not_found")).await?;
        }
        let (status, body) = other.begin(&chat.stack, &Question::in_thread(thread, "x")).await?;
        ensure!(status == 404 && body["message"] == "thread_not_found", "{status} {body}");
        let follow = json!({ "p_run_id": question.run_id, "p_after_chunk_seq": 0 });
        other.expect_error(&chat.stack, "follow_chat_run", follow, (404, "run_not_found")).await?;
    }
    // A session of the user with another agent.
    chat.stack.upsert_user(&chat.user).await?;
    let other_agent = &others[0];
    ensure!(other_agent.thread_ids(&chat.stack).await?.is_empty());
    let (status, body) = other_agent.begin(&chat.stack, &Question::in_thread(thread, "x")).await?;
    ensure!(status == 404 && body["message"] == "thread_not_found", "{status} {body}");
    let follow = json!({ "p_run_id": question.run_id, "p_after_chunk_seq": 0 });
    other_agent.expect_error(&chat.stack, "follow_chat_run", follow, (404, "run_not_found")).await?;
    let found = texts(&second.items(&chat.stack, thread).await?);
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// A question in a thread of another user neither ends an interrupted answer there nor waits for
/// it.
#[tokio::test]
async fn foreign_thread_is_neither_settled_nor_locked() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    end_lease(&chat.stack, question.run_id).await?;
    let colleague = chat.stack.add_user(chat.user.org_id, OrgRole::Member).await?;
    let other = rpc::open_session(&chat.stack, &colleague, CHAT_AGENT).await?;
    let mut transaction = chat.stack.database().begin().await?;
    for lock in [
        "select from chat_sessions where user_id = $1 for update",
        "select from chat_threads where user_id = $1 for update",
    ] {
        sqlx::query(lock).bind(chat.user.id).execute(&mut *transaction).await?;
    }
    let foreign = Question::in_thread(&question.thread_id, "x");
    let begin = other.begin(&chat.stack, &foreign);
    let (status, body) = tokio::time::timeout(std::time::Duration::from_secs(10), begin).await??;
    ensure!(status == 404 && body["message"] == "thread_not_found", "{status} {body}");
    transaction.rollback().await?;
    let (status, body) = other.begin(&chat.stack, &foreign).await?;
    ensure!(status == 404, "{status} {body}");
    ensure!(run_status(&chat.stack, question.run_id).await? == "running");
    Ok(())
}

#[tokio::test]
async fn handover_takes_the_last_thread_along() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let (first, second) = (Question::in_new_thread("first"), Question::in_new_thread("second"));
    session.answer(&chat.stack, &second, "two").await?;
    session.answer(&chat.stack, &first, "one").await?;
    session.answer(&chat.stack, &Question::in_thread(&second.thread_id, "again"), "two").await?;
    session.hand_over(&chat.stack, OTHER_CHAT_AGENT).await?;

    ensure!(session.thread_ids(&chat.stack).await? == [second.thread_id.as_str()]);
    session.answer(&chat.stack, &Question::in_thread(&second.thread_id, "more"), "three").await?;
    let found = texts(&session.items(&chat.stack, &second.thread_id).await?);
    ensure!(found == ["second", "two", "again", "two", "more", "three"], "{found:?}");
    // The other thread stays with its agent.
    let other = chat.open().await?;
    ensure!(other.thread_ids(&chat.stack).await? == [first.thread_id.as_str()]);
    // Back again.
    session.hand_over(&chat.stack, CHAT_AGENT).await?;
    ensure!(session.thread_ids(&chat.stack).await?.len() == 2);
    Ok(())
}

#[tokio::test]
async fn refused_secrets_begin_and_read_nothing() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "Hello").await?;
    let list = || json!({ "p_thread_id": thread, "p_limit": 10, "p_descending": true });
    let update_agent = "update agents set enabled = {enabled} where id = 'treasury_chat'";
    let expire = "update chatkit_sessions set expires_at = now() + interval '{minutes} minutes'";
    for (break_it, repair, expected) in [
        (
            expire.replace("{minutes}", "-1"),
            expire.replace("{minutes}", "10"),
            (401, "client_secret_rejected"),
        ),
        (
            update_agent.replace("{enabled}", "false"),
            update_agent.replace("{enabled}", "true"),
            (403, "agent_forbidden"),
        ),
        (
            "update auth.users set banned_until = now() + interval '1 day'".to_owned(),
            "update auth.users set banned_until = null".to_owned(),
            (403, "not_a_member"),
        ),
    ] {
        chat.execute(&break_it).await?;
        session.expect_error(&chat.stack, "list_chat_items", list(), expected).await?;
        let (status, body) = session.begin(&chat.stack, &Question::in_thread(thread, "x")).await?;
        ensure!(status == expected.0 && body["message"] == expected.1, "{status} {body}");
        chat.execute(&repair).await?;
        session.items(&chat.stack, thread).await?;
    }
    session.cancel(&chat.stack).await?;
    let expected = (401, "client_secret_rejected");
    session.expect_error(&chat.stack, "list_chat_items", list(), expected).await?;
    let unknown = rpc::ChatSession { secret: "0".repeat(64), ..session };
    unknown.expect_error(&chat.stack, "list_chat_items", list(), expected).await
}
