//! Retention and erasure: a thread outlives the sessions that used it, until the last one is
//! erased.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use super::Chat;
use crate::support::chat_rpc::{self as rpc, ChatSession, Question, end_lease, item, texts};

/// The tables with rows of the chat.
const TABLES: [&str; 8] = [
    "chat_threads",
    "chat_thread_sessions",
    "chat_hidden_items",
    "chat_runs",
    "chat_run_chunks",
    "chat_messages",
    "session_model_settings",
    "chat_sessions",
];

impl Chat {
    /// Ends a session, so long ago that its retention is over.
    pub(super) async fn make_overdue(&self, session: &ChatSession) -> Result<()> {
        session.cancel(&self.stack).await?;
        let retention = json!({ "p_org_id": self.user.org_id, "p_keep_days": 1 });
        rpc::call(&self.stack, "set_retention", retention).await?;
        self.execute_without_triggers(&format!(
            "update chat_sessions set ended_at = now() - interval '2 days' where id = '{}'",
            session.id
        ))
        .await
    }

    pub(super) async fn erase_step(&self, session: &ChatSession, limit: u32) -> Result<Value> {
        let arguments = json!({ "p_org_id": self.user.org_id, "p_session_id": session.id, "p_limit": limit });
        rpc::call(&self.stack, "erase_overdue_session", arguments).await
    }

    /// Erases an overdue session, a few rows at a time.
    pub(super) async fn erase(&self, session: &ChatSession, limit: u32) -> Result<()> {
        for _ in 0..200 {
            let step = self.erase_step(session, limit).await?;
            if step["erased"] == true {
                return Ok(());
            }
            ensure!(step["overdue"] == true && step["wait_seconds"] == 0, "{step}");
        }
        anyhow::bail!("the session was not erased in 200 steps")
    }
}

/// All that a session shows of a thread, and what a model would receive.
async fn contents(chat: &Chat, session: &ChatSession, thread: &str) -> Result<[Value; 3]> {
    let page =
        |descending: bool| json!({ "p_thread_id": thread, "p_limit": 100, "p_descending": descending });
    let history = sqlx::query_scalar("select chatkit_private.model_history($1, 1000000)").bind(thread);
    Ok([
        session.expect(&chat.stack, "list_chat_items", page(false)).await?,
        session.expect(&chat.stack, "list_chat_items", page(true)).await?,
        history.fetch_one(chat.stack.database()).await?,
    ])
}

#[tokio::test]
async fn thread_stays_whole_while_a_session_uses_it() -> Result<()> {
    let chat = Chat::start().await?;
    for limit in [1, 2, 1000] {
        let (first, second) = (chat.open().await?, chat.open().await?);
        let question = Question::in_new_thread("first");
        let thread = &question.thread_id;
        first.expect_begin(&chat.stack, &question, "begun").await?;
        let items =
            vec![json!({ "type": "reasoning", "id": "rs_1" }), item("assistant_message", thread, "replaced")];
        first.append(&chat.stack, question.run_id, 1, items, Vec::new()).await?;
        first.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
        let message = question.items[0]["id"].as_str().unwrap_or_default();
        let retry = Question::retry(thread, message).with_key(&format!("retry {limit}"));
        first.expect_begin(&chat.stack, &retry, "begun").await?;
        let items =
            vec![json!({ "type": "reasoning", "id": "rs_2" }), item("assistant_message", thread, "one")];
        first.finish(&chat.stack, retry.run_id, "completed", items).await?;
        second.answer(&chat.stack, &Question::in_thread(thread, "second"), "two").await?;
        first.answer(&chat.stack, &Question::in_thread(thread, "third"), "three").await?;
        // This thread belongs to the first session alone, and the other one to the second.
        let alone = Question::in_new_thread("alone");
        first.answer(&chat.stack, &alone, "an answer").await?;
        let unrelated = Question::in_new_thread("unrelated");
        second.answer(&chat.stack, &unrelated, "an answer").await?;

        let before = contents(&chat, &second, thread).await?;
        let expected = ["first", "one", "second", "two", "third", "three"];
        ensure!(texts(&before[0]["rows"]) == expected, "{before:#?}");
        ensure!(before[2]["items"].as_array().map_or(0, Vec::len) == 7, "{before:#?}");
        chat.make_overdue(&first).await?;
        for _ in 0..200 {
            let step = chat.erase_step(&first, limit).await?;
            let after = contents(&chat, &second, thread).await?;
            ensure!(after == before, "limit {limit}: expected {before:#?}, found {after:#?}");
            if step["erased"] == true {
                break;
            }
        }
        let of_first = format!("chat_sessions where id = '{}'", first.id);
        ensure!(chat.count(&of_first).await? == 0, "the session is not erased");
        ensure!(chat.count(&format!("chat_threads where id = '{}'", alone.thread_id)).await? == 0);
        let replaced = "chat_messages where hidden_at is not null";
        ensure!(chat.count(replaced).await? == 0, "items of the transcript only are kept");
        // The transcript of the second session does not get the other one's messages.
        let arguments = json!({ "p_session_id": second.id, "p_limit": 100 });
        let token = chat.stack.issuer().token(&chat.user);
        let listed = chat
            .stack
            .rest(&token, http_client::Method::POST, "/rpc/list_messages", Some(arguments))
            .await?
            .1;
        let of_second: Vec<&str> = listed["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["content"].as_str())
            .collect();
        ensure!(of_second == ["second", "two", "unrelated", "an answer"], "{of_second:?}");

        second.answer(&chat.stack, &Question::in_thread(thread, "fourth"), "four").await?;
        chat.make_overdue(&second).await?;
        chat.erase(&second, limit).await?;
        for table in TABLES {
            ensure!(chat.count(table).await? == 0, "limit {limit}: {table} has rows");
        }
    }
    Ok(())
}

/// Sessions that are erased at the same time, in an order that changes.
#[tokio::test]
async fn overdue_sessions_with_shared_threads_are_erased_concurrently() -> Result<()> {
    let chat = Chat::start().await?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(chat.open().await?);
    }
    for n in 0..6 {
        let question = Question::in_new_thread(&format!("{n}"));
        sessions[n % 4].answer(&chat.stack, &question, "an answer").await?;
        for other in [1, 2, 3] {
            let more = Question::in_thread(&question.thread_id, &format!("{n} {other}"));
            sessions[(n + other) % 4].answer(&chat.stack, &more, "an answer").await?;
        }
    }
    for session in &sessions {
        chat.make_overdue(session).await?;
    }
    let erase = async |session: &ChatSession| {
        for _ in 0..500 {
            let arguments = json!({ "p_org_id": chat.user.org_id, "p_session_id": session.id, "p_limit": 3 });
            let (status, step) = chat.stack.rpc("erase_overdue_session", arguments).await?;
            ensure!(status.is_success(), "{status} {step}");
            if step["erased"] == true {
                return Ok(());
            }
        }
        anyhow::bail!("not erased in 500 steps")
    };
    futures_util::future::try_join_all(sessions.iter().map(erase)).await?;
    for table in TABLES {
        ensure!(chat.count(table).await? == 0, "{table} has rows");
    }
    Ok(())
}

/// Two sessions that have answered in one thread, and its id.
async fn two_sessions_of_one_thread(chat: &Chat) -> Result<(ChatSession, ChatSession, String)> {
    let (first, second) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("first");
    first.answer(&chat.stack, &question, "one").await?;
    second.answer(&chat.stack, &Question::in_thread(&question.thread_id, "second"), "two").await?;
    Ok((first, second, question.thread_id.clone()))
}

/// Each of two sessions that give up a thread at the same moment sees the link of the other one.
#[tokio::test]
async fn thread_that_two_sessions_give_up_at_once_is_erased() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second, _) = two_sessions_of_one_thread(&chat).await?;
    for session in [&first, &second] {
        chat.make_overdue(session).await?;
    }
    let mut transaction = chat.stack.database().begin().await?;
    for step in ["erase_hidden_items", "erase_rows_of_session", "erase_threads"] {
        let step = AssertSqlSafe(format!("select chatkit_private.{step}($1, 1000)"));
        sqlx::query(step).bind(first.id).execute(&mut *transaction).await?;
    }
    let (erased, ()) = tokio::join!(chat.erase(&second, 1000), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        transaction.commit().await.ok();
    });
    erased?;
    let threads = chat.count("chat_threads").await?;
    ensure!(threads == 0, "{threads} threads are left without a session");
    Ok(())
}

/// Waiting for the other session would be a deadlock: it may wait for the thread.
#[tokio::test]
async fn retention_does_not_wait_for_a_session_that_is_in_use() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second, thread) = two_sessions_of_one_thread(&chat).await?;
    chat.make_overdue(&first).await?;
    let mut transaction = chat.stack.database().begin().await?;
    sqlx::query("select from chat_sessions where id = $1 for update")
        .bind(second.id)
        .execute(&mut *transaction)
        .await?;
    let step = timeout(Duration::from_secs(10), chat.erase_step(&first, 1000)).await??;
    ensure!(step == json!({ "erased": false, "overdue": true, "wait_seconds": 1 }), "{step}");
    transaction.rollback().await?;
    chat.erase(&first, 1000).await?;
    let found = texts(&second.items(&chat.stack, &thread).await?);
    ensure!(found == ["first", "one", "second", "two"], "{found:?}");
    Ok(())
}

/// A thread that only an overdue session uses is closed before its items are erased, so no answer
/// is based on a part of it.
#[tokio::test]
async fn thread_is_closed_before_it_is_erased() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("first");
    first.answer(&chat.stack, &question, "one").await?;
    chat.make_overdue(&first).await?;
    ensure!(second.thread_ids(&chat.stack).await? == [question.thread_id.as_str()]);
    let step = chat.erase_step(&first, 1).await?;
    ensure!(step["erased"] == false, "{step}");
    ensure!(second.thread_ids(&chat.stack).await?.is_empty(), "the thread is listed while it is erased");
    let next = Question::in_thread(&question.thread_id, "second");
    let (status, body) = second.begin(&chat.stack, &next).await?;
    ensure!(status == 404 && body["message"] == "thread_not_found", "{status} {body}");
    Ok(())
}

/// The draft of a process that died before the session ended.
#[tokio::test]
async fn interrupted_answer_is_settled_before_its_session_is_erased() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    first.answer(&chat.stack, &question, "one").await?;
    second.answer(&chat.stack, &Question::in_thread(thread, "second"), "two").await?;
    let running = Question::in_thread(thread, "third");
    first.expect_begin(&chat.stack, &running, "begun").await?;
    chat.make_overdue(&first).await?;
    let step = chat.erase_step(&first, 1000).await?;
    let waits = step["wait_seconds"].as_u64().unwrap_or_default();
    ensure!(step["erased"] == false && (1..=60).contains(&waits), "erased while it answers: {step}");
    end_lease(&chat.stack, running.run_id).await?;
    chat.erase(&first, 1000).await?;
    let found = texts(&second.items(&chat.stack, thread).await?);
    ensure!(found == ["first", "one", "second", "two", "third", "[interrupted]"], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn erasure_of_a_user_leaves_nothing_of_the_chat() -> Result<()> {
    let chat = Chat::start().await?;
    let colleague = chat.stack.add_user(chat.user.org_id, local_stack::supabase::OrgRole::Member).await?;
    let other = rpc::open_session(&chat.stack, &colleague, rpc::CHAT_AGENT).await?;
    other.answer(&chat.stack, &Question::in_new_thread("mine"), "an answer").await?;
    let mut before = Vec::new();
    for table in TABLES {
        before.push(chat.count(table).await?);
    }
    let (first, second) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    first.expect_begin(&chat.stack, &question, "begun").await?;
    let items = vec![json!({ "type": "reasoning", "id": "rs_1" }), item("assistant_message", thread, "one")];
    first.append(&chat.stack, question.run_id, 1, items, Vec::new()).await?;
    first.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
    second.answer(&chat.stack, &Question::in_thread(thread, "second"), "two").await?;
    second.answer(&chat.stack, &Question::in_new_thread("another"), "three").await?;
    let running = Question::in_thread(thread, "third");
    first.expect_begin(&chat.stack, &running, "begun").await?;

    let user = json!({ "p_org_id": chat.user.org_id, "p_user_id": chat.user.id });
    let with = |more: Value| {
        let mut arguments = user.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            arguments[name] = value.clone();
        }
        arguments
    };
    rpc::call(&chat.stack, "begin_erasure", with(json!({ "p_requested_by": "ops", "p_reason": "asked" })))
        .await?;
    rpc::call(&chat.stack, "end_erased_sessions", with(json!({ "p_limit": 100 }))).await?;
    let appended = first.append(&chat.stack, running.run_id, 1, Vec::new(), Vec::new()).await?;
    ensure!(appended["stop"] == true, "{appended}");
    end_lease(&chat.stack, running.run_id).await?;
    for _ in 0..200 {
        let step = rpc::call(&chat.stack, "erase_batch", with(json!({ "p_limit": 2 }))).await?;
        if step["left"] == false {
            break;
        }
        ensure!(step["wait_seconds"] == 0, "{step}");
    }
    let report = rpc::call(&chat.stack, "finish_erasure", user.clone()).await?;
    let counts = &report["erasure"]["counts"];
    let counts = if counts.is_null() { &report["counts"] } else { counts };
    ensure!(counts["threads"] == 2 && counts["chat_sessions"] == 2, "{report}");
    for (table, before) in TABLES.iter().zip(before) {
        let after = chat.count(table).await?;
        ensure!(after == before, "{table}: expected {before} rows of the colleague, found {after}");
    }
    Ok(())
}
