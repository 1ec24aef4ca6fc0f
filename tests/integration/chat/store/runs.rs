//! Running answers: one a thread, stopped from outside, and interrupted when their process dies.

use anyhow::{Result, ensure};
use serde_json::json;
use uuid::Uuid;

use super::Chat;
use crate::support::chat_rpc::{self as rpc, OTHER_CHAT_AGENT, Question, end_lease, item, run_status, texts};

#[tokio::test]
async fn another_question_stops_the_running_answer() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("first");
    let thread = &question.thread_id;
    first.expect_begin(&chat.stack, &question, "begun").await?;
    let appended = first.append(&chat.stack, question.run_id, 1, Vec::new(), Vec::new()).await?;
    ensure!(appended == json!({ "running": true, "stop": false, "has_tokens": true }), "{appended}");
    let next = Question::in_thread(thread, "second");
    second.expect_begin(&chat.stack, &next, "busy").await?;
    let appended = first.append(&chat.stack, question.run_id, 2, Vec::new(), Vec::new()).await?;
    ensure!(appended == json!({ "running": true, "stop": true, "has_tokens": true }), "{appended}");
    second.expect_begin(&chat.stack, &next, "busy").await?;
    let part = item("assistant_message", thread, "a part");
    ensure!(first.finish(&chat.stack, question.run_id, "stopped", vec![part]).await?);
    second.expect_begin(&chat.stack, &next, "begun").await?;
    let found = texts(&first.items(&chat.stack, thread).await?);
    ensure!(found == ["first", "a part", "second"], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn concurrent_questions_in_a_thread_begin_one_run_at_a_time() -> Result<()> {
    let chat = Chat::start().await?;
    let sessions = [chat.open().await?, chat.open().await?];
    let first = Question::in_new_thread("first");
    sessions[0].answer(&chat.stack, &first, "an answer").await?;
    let questions: Vec<Question> =
        (0..8).map(|n| Question::in_thread(&first.thread_id, &format!("question {n}"))).collect();
    let begins =
        questions.iter().enumerate().map(|(n, question)| sessions[n % 2].begin(&chat.stack, question));
    let responses = futures_util::future::try_join_all(begins).await?;
    let begun = responses.iter().filter(|(_, body)| body["outcome"] == "begun").count();
    let busy = responses.iter().filter(|(_, body)| body["outcome"] == "busy").count();
    ensure!((begun, busy) == (1, 7), "{responses:#?}");
    ensure!(chat.count("chat_messages").await? == 3, "a refused question is stored");
    Ok(())
}

/// The ways to stop an answer other than a question in its thread.
#[tokio::test]
async fn answer_is_told_to_stop_by_end_handover_stop_and_deletion() -> Result<()> {
    let chat = Chat::start().await?;
    for how in ["cancel", "expire", "handover", "handover of another session", "stop", "delete"] {
        let (session, other) = (chat.open().await?, chat.open().await?);
        let question = Question::in_new_thread(how);
        let thread = &question.thread_id;
        session.answer(&chat.stack, &question, "an answer").await?;
        other.answer(&chat.stack, &Question::in_thread(thread, "seen"), "an answer").await?;
        let running = Question::in_thread(thread, "running");
        session.expect_begin(&chat.stack, &running, "begun").await?;
        let unrelated = Question::in_new_thread("unrelated");
        let unrelated_session = chat.open().await?;
        unrelated_session.expect_begin(&chat.stack, &unrelated, "begun").await?;
        let ids =
            json!({ "p_org_id": chat.user.org_id, "p_user_id": chat.user.id, "p_session_id": session.id });
        match how {
            "cancel" => session.cancel(&chat.stack).await?,
            "expire" => {
                chat.execute(&format!(
                    "update chat_sessions set last_activity_at = '2020-01-01T00:00:00Z'
                     where id = '{}'",
                    session.id
                ))
                .await?;
                let expire = json!({
                    "p_org_id": chat.user.org_id, "p_session_id": session.id,
                    "p_last_activity_at": "2020-01-01T00:00:00Z",
                });
                let expired = rpc::call(&chat.stack, "expire_session", expire).await?;
                ensure!(expired["expired"] == true, "{expired}");
            }
            "handover" => session.hand_over(&chat.stack, OTHER_CHAT_AGENT).await?,
            "stop" => {
                let stopped = rpc::call(&chat.stack, "stop_response", ids).await?;
                ensure!(stopped["stopping"] == 1, "{stopped}");
            }
            "delete" => {
                other
                    .expect(&chat.stack, "delete_chat_thread", json!({ "p_thread_id": thread }))
                    .await
                    .map(drop)?;
            }
            _ => other.hand_over(&chat.stack, OTHER_CHAT_AGENT).await?,
        }
        let appended = session.append(&chat.stack, running.run_id, 1, Vec::new(), Vec::new()).await?;
        ensure!(
            appended == json!({ "running": true, "stop": true, "has_tokens": true }),
            "{how}: {appended}"
        );
        // The text so far is kept.
        let part = item("assistant_message", thread, "a part");
        ensure!(session.finish(&chat.stack, running.run_id, "stopped", vec![part]).await?, "{how}");
        let appended =
            unrelated_session.append(&chat.stack, unrelated.run_id, 1, Vec::new(), Vec::new()).await?;
        ensure!(appended["stop"] == false, "{how} stops an answer of another session: {appended}");
    }
    Ok(())
}

/// The first request that finds the run ends it: its draft becomes part of the thread.
#[tokio::test]
async fn answer_whose_lease_has_expired_is_interrupted_by_any_request() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    for how in ["list", "question", "follow", "maintenance", "question of another session"] {
        let other = chat.open().await?;
        let question = Question::in_new_thread(how);
        let (thread, run) = (&question.thread_id, question.run_id);
        session.expect_begin(&chat.stack, &question, "begun").await?;
        let whole = item("assistant_message", thread, "whole");
        let mut draft = vec![item("assistant_message", thread, "a part")];
        draft.extend(question.draft.clone());
        session.append(&chat.stack, run, 1, vec![whole], draft).await?;
        end_lease(&chat.stack, run).await?;
        match how {
            "list" => session.items(&chat.stack, thread).await.map(drop)?,
            "follow" => {
                let arguments = json!({ "p_run_id": run, "p_after_chunk_seq": 0 });
                let followed = session.expect(&chat.stack, "follow_chat_run", arguments).await?;
                ensure!(followed["status"] == "interrupted", "{followed}");
                ensure!(followed["events"] == json!([{ "chunk": 1 }]), "{followed}");
            }
            "maintenance" => {
                let settled = rpc::call(&chat.stack, "settle_chat_runs", json!({ "p_limit": 100 })).await?;
                ensure!(settled == json!({ "settled": 1 }), "{settled}");
            }
            _ => {
                let session = if how == "question" { &session } else { &other };
                let next = Question::in_thread(thread, "next");
                let begun = session.expect_begin(&chat.stack, &next, "begun").await?;
                let found = texts(&begun["history"]["items"]);
                ensure!(found == [how, "whole", "a part", "[interrupted]", "next"], "{found:?}");
                ensure!(session.finish(&chat.stack, next.run_id, "completed", Vec::new()).await?);
            }
        }
        ensure!(run_status(&chat.stack, run).await? == "interrupted", "{how}");
        let expected = texts(&session.items(&chat.stack, thread).await?);
        ensure!(expected[..4] == [how, "whole", "a part", "[interrupted]"], "{how}: {expected:?}");
        // The process was only slow. Nothing of it is stored any more.
        let late = || vec![item("assistant_message", thread, "late")];
        let appended = session.append(&chat.stack, run, 2, late(), late()).await?;
        ensure!(appended == json!({ "running": false, "stop": true }), "{how}: {appended}");
        ensure!(!session.finish(&chat.stack, run, "completed", late()).await?, "{how}");
        let found = texts(&session.items(&chat.stack, thread).await?);
        ensure!(found == expected, "{how}: expected {expected:?}, found {found:?}");
        ensure!(run_status(&chat.stack, run).await? == "interrupted", "{how}");
    }
    ensure!(chat.count("chat_runs where draft <> '[]'").await? == 0);
    Ok(())
}

/// A lease alone fences nothing: a process that renews it in time continues, and one that ends its
/// answer before anybody noticed has ended it.
#[tokio::test]
async fn expired_lease_without_another_request_does_not_end_the_answer() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    end_lease(&chat.stack, question.run_id).await?;
    let appended = session.append(&chat.stack, question.run_id, 1, Vec::new(), Vec::new()).await?;
    ensure!(appended["running"] == true, "{appended}");
    let settled = rpc::call(&chat.stack, "settle_chat_runs", json!({ "p_limit": 100 })).await?;
    ensure!(settled == json!({ "settled": 0 }), "the lease was renewed: {settled}");
    end_lease(&chat.stack, question.run_id).await?;
    let answer = item("assistant_message", &question.thread_id, "Hello");
    ensure!(session.finish(&chat.stack, question.run_id, "completed", vec![answer]).await?);
    ensure!(session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?, "the repeat");
    ensure!(!session.finish(&chat.stack, question.run_id, "failed", Vec::new()).await?);
    Ok(())
}

#[tokio::test]
async fn draft_that_the_database_rejects_does_not_keep_the_run() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    let (thread, run) = (&question.thread_id, question.run_id);
    session.expect_begin(&chat.stack, &question, "begun").await?;
    let invalid = [
        json!({ "type": "unknown", "id": "x_1", "thread_id": thread }),
        json!({ "type": "assistant_message", "thread_id": thread }),
        item("assistant_message", thread, &"x".repeat(1_100_000)),
        json!(7),
    ];
    let mut draft: Vec<_> = invalid.to_vec();
    draft.extend(question.draft.clone());
    session.append(&chat.stack, run, 1, Vec::new(), draft).await?;
    end_lease(&chat.stack, run).await?;
    let found = texts(&session.items(&chat.stack, thread).await?);
    ensure!(found == ["Hello", "[interrupted]"], "{found:?}");
    let code: String =
        sqlx::query_scalar("select error_code from chat_runs").fetch_one(chat.stack.database()).await?;
    ensure!(code == "draft_rejected", "{code}");
    Ok(())
}

/// The response to an append may be lost, so it is repeated.
#[tokio::test]
async fn repeated_chunk_is_stored_once() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    let (thread, run) = (&question.thread_id, question.run_id);
    session.expect_begin(&chat.stack, &question, "begun").await?;
    let hidden = json!({ "type": "reasoning", "id": "rs_1", "summary": "…" });
    for chunk in 1..=3 {
        let items = vec![hidden.clone(), item("assistant_message", thread, &format!("item {chunk}"))];
        for _ in 0..3 {
            let appended = session.append(&chat.stack, run, chunk, items.clone(), Vec::new()).await?;
            ensure!(appended["running"] == true, "{appended}");
        }
    }
    let found = texts(&session.items(&chat.stack, thread).await?);
    ensure!(found == ["Hello", "item 1", "item 2", "item 3"], "{found:?}");
    ensure!(chat.count("chat_hidden_items").await? == 3 && chat.count("chat_run_chunks").await? == 3);
    let follow = async |after: u32| {
        let arguments = json!({ "p_run_id": run, "p_after_chunk_seq": after });
        session.expect(&chat.stack, "follow_chat_run", arguments).await
    };
    let followed = follow(1).await?;
    ensure!(followed["status"] == "running" && followed["chunk_seq"] == 3, "{followed}");
    ensure!(followed["events"] == json!([{ "chunk": 2 }, { "chunk": 3 }]), "{followed}");
    ensure!(session.finish(&chat.stack, run, "completed", Vec::new()).await?);
    let followed = follow(3).await?;
    ensure!(followed["status"] == "completed" && followed["chunk_seq"] == 1000, "{followed}");
    ensure!(followed["last_chunk_seq"] == 1000 && followed["events"] == json!([{ "chunk": "last" }]));
    let followed = follow(1000).await?;
    ensure!(followed["chunk_seq"] == 1000 && followed["events"] == json!([]), "{followed}");
    Ok(())
}

/// A follower reads a long answer in parts of about one MiB.
#[tokio::test]
async fn followed_events_are_bounded_in_bytes() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    for chunk in 1..=4 {
        let arguments = json!({
            "p_run_id": question.run_id, "p_chunk_seq": chunk, "p_events": [{ "n": chunk, "text": "x".repeat(600_000) }],
        });
        session.expect(&chat.stack, "append_chat_run", arguments).await?;
    }
    let (mut after, mut events) = (json!(0), 0);
    while after != 4 {
        let arguments = json!({ "p_run_id": question.run_id, "p_after_chunk_seq": after });
        let followed = session.expect(&chat.stack, "follow_chat_run", arguments).await?;
        let found = followed["events"].as_array().map_or(0, Vec::len);
        ensure!(found > 0 && followed.to_string().len() < 1_300_000, "{found} events");
        (after, events) = (followed["chunk_seq"].clone(), events + found);
    }
    ensure!(events == 4, "expected 4 events, found {events}");
    Ok(())
}

#[tokio::test]
async fn only_the_secret_that_began_a_run_continues_it() -> Result<()> {
    let chat = Chat::start().await?;
    let (session, other) = (chat.open().await?, chat.open().await?);
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    let append = json!({ "p_run_id": question.run_id, "p_chunk_seq": 1, "p_events": [] });
    let finish =
        json!({ "p_run_id": question.run_id, "p_status": "completed", "p_chunk_seq": 1, "p_events": [] });
    for (name, arguments) in [("append_chat_run", append), ("finish_chat_run", finish)] {
        other.expect_error(&chat.stack, name, arguments, (404, "run_not_found")).await?;
    }
    let follow = json!({ "p_run_id": Uuid::new_v4(), "p_after_chunk_seq": 0 });
    session.expect_error(&chat.stack, "follow_chat_run", follow, (404, "run_not_found")).await
}

#[tokio::test]
async fn chunks_of_finished_answers_are_purged_after_ten_minutes() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let mut runs = Vec::new();
    for text in ["old", "new", "running"] {
        let question = Question::in_new_thread(text);
        session.expect_begin(&chat.stack, &question, "begun").await?;
        session.append(&chat.stack, question.run_id, 1, Vec::new(), Vec::new()).await?;
        if text != "running" {
            session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
        }
        runs.push(question.run_id);
    }
    chat.execute(&format!(
        "update chat_runs set finished_at = now() - interval '11 minutes' where id = '{}'",
        runs[0]
    ))
    .await?;
    let mut purged = 0;
    for expected in [1, 1, 0] {
        let counts = rpc::call(&chat.stack, "purge_expired", json!({ "p_limit": 1 })).await?;
        ensure!(counts["chunks"] == expected, "expected {expected}, found {counts}");
        purged += expected;
    }
    ensure!(purged == 2 && chat.count("chat_run_chunks").await? == 3);
    Ok(())
}
