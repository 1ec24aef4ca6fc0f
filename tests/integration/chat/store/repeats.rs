//! Repeated questions: the same request begins one run, from any process.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::Chat;
use crate::support::chat_rpc::{self as rpc, Question, item, texts};

/// The repeats of one message, with and without a key. With a key, they come from two sessions.
#[tokio::test]
async fn concurrent_repeats_begin_one_run() -> Result<()> {
    let chat = Chat::start().await?;
    let (first, second) = (chat.open().await?, chat.open().await?);
    for (sessions, question) in [
        ([&first, &first], Question::in_new_thread("Hello")),
        ([&first, &second], Question::in_new_thread("Good morning").with_key("1")),
    ] {
        let questions: Vec<Question> = (0..6).map(|_| question.repeated()).collect();
        let begins = questions
            .iter()
            .enumerate()
            .map(|(index, question)| sessions[index % 2].begin(&chat.stack, question));
        let responses = try_join_all(begins).await?;
        let with_outcome =
            |outcome: &str| responses.iter().filter(|(_, body)| body["outcome"] == outcome).count();
        ensure!(with_outcome("begun") == 1 && with_outcome("repeated") == 5, "{responses:#?}");
        let run = &responses[0].1["run_id"];
        ensure!(responses.iter().all(|(_, body)| body["run_id"] == *run), "{responses:#?}");
        let thread = responses[0].1["thread"]["id"].as_str().unwrap_or_default();
        let found = texts(&first.items(&chat.stack, thread).await?);
        ensure!(found == texts(&json!(question.items)), "expected one message, found {found:?}");
    }
    ensure!(first.thread_ids(&chat.stack).await?.len() == 2);
    ensure!(chat.count("chat_runs").await? == 2);
    Ok(())
}

#[tokio::test]
async fn same_words_after_a_completed_answer_are_a_new_message() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    session.answer(&chat.stack, &question, "an answer").await?;
    let thread = &question.thread_id;
    let again = Question::in_thread(thread, "Yes");
    for status in ["completed", "incomplete", "stopped"] {
        let again = again.repeated();
        session.expect_begin(&chat.stack, &again, "begun").await?;
        ensure!(session.finish(&chat.stack, again.run_id, status, Vec::new()).await?);
    }
    let found = texts(&session.items(&chat.stack, thread).await?);
    ensure!(found == ["first", "an answer", "Yes", "Yes", "Yes"], "{found:?}");
    Ok(())
}

/// Thirty seconds after a message began to be answered, the same words are a new message, even if
/// the answer failed.
#[tokio::test]
async fn same_words_after_half_a_minute_are_a_new_message() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    ensure!(session.finish(&chat.stack, question.run_id, "failed", Vec::new()).await?);
    chat.execute("update chat_runs set started_at = started_at - interval '31 seconds'").await?;
    let again = question.repeated();
    session.expect_begin(&chat.stack, &again, "begun").await?;
    ensure!(session.thread_ids(&chat.stack).await?.len() == 2, "the repeat began no new thread");
    Ok(())
}

#[tokio::test]
async fn repeat_takes_up_a_broken_answer_under_the_same_message() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    for has_key in [false, true] {
        for is_failed in [false, true] {
            let text = format!("{has_key} {is_failed}");
            let question = Question::in_new_thread(&text);
            let question = if has_key { question.with_key(&text) } else { question };
            let thread = &question.thread_id;
            session.expect_begin(&chat.stack, &question, "begun").await?;
            let part = item("assistant_message", thread, "a part");
            session.append(&chat.stack, question.run_id, 1, vec![part], question.draft.clone()).await?;
            if is_failed {
                let note = question.draft.clone();
                ensure!(session.finish(&chat.stack, question.run_id, "failed", note).await?);
            } else {
                rpc::end_lease(&chat.stack, question.run_id).await?;
            }
            let again = question.repeated();
            let begun = session.expect_begin(&chat.stack, &again, "begun").await?;
            ensure!(begun["run_id"] == json!(again.run_id), "{begun}");
            ensure!(begun["question"]["id"] == question.items[0]["id"], "{begun}");
            ensure!(begun["removed_item_ids"].as_array().map_or(0, Vec::len) == 2, "{begun}");
            ensure!(texts(&begun["history"]["items"]) == [text.as_str()], "{begun}");
            let answer = item("assistant_message", thread, "whole");
            ensure!(session.finish(&chat.stack, again.run_id, "completed", vec![answer]).await?);
            let found = texts(&session.items(&chat.stack, thread).await?);
            ensure!(found == [text.as_str(), "whole"], "{found:?}");
        }
    }
    Ok(())
}

/// The caller has lost the response, and repeats the call after the run has ended. Neither the
/// ended run nor a broken one that has taken it up begins again under an id that is in use.
#[tokio::test]
async fn call_that_is_repeated_after_the_end_of_its_run_begins_none() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello").with_key("1");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    session.expect_begin(&chat.stack, &question, "begun").await?;
    rpc::end_lease(&chat.stack, question.run_id).await?;
    let repeated = session.expect_begin(&chat.stack, &question, "repeated").await?;
    ensure!(repeated["run_id"] == json!(question.run_id), "{repeated}");
    ensure!(repeated["status"] == "interrupted", "{repeated}");
    let taken_up = question.repeated();
    session.expect_begin(&chat.stack, &taken_up, "begun").await?;
    ensure!(session.finish(&chat.stack, taken_up.run_id, "failed", Vec::new()).await?);
    let repeated = session.expect_begin(&chat.stack, &question, "repeated").await?;
    ensure!(repeated["run_id"] == json!(taken_up.run_id), "{repeated}");
    ensure!(chat.count("chat_runs").await? == 2);

    // Without a key, the request is a new one after the good end of the other run.
    let question = Question::in_new_thread("Good morning");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    rpc::end_lease(&chat.stack, question.run_id).await?;
    let taken_up = question.repeated();
    session.expect_begin(&chat.stack, &taken_up, "begun").await?;
    ensure!(session.finish(&chat.stack, taken_up.run_id, "completed", Vec::new()).await?);
    let repeated = session.expect_begin(&chat.stack, &question, "repeated").await?;
    ensure!(repeated["run_id"] == json!(question.run_id), "{repeated}");
    ensure!(chat.count("chat_runs").await? == 4);
    Ok(())
}

/// A client may have missed any stream since the last new question of the thread.
#[tokio::test]
async fn run_removes_what_the_runs_since_the_last_question_removed() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let complete = async |question: &Question, text: &str| {
        let answer = item("assistant_message", &question.thread_id, text);
        let id = answer["id"].clone();
        ensure!(session.finish(&chat.stack, question.run_id, "completed", vec![answer]).await?);
        anyhow::Ok(id)
    };
    let begin = async |question: &Question, outcome: &str, removed: &[&Value]| {
        let body = session.expect_begin(&chat.stack, question, outcome).await?;
        ensure!(body["removed_item_ids"] == json!(removed), "expected {removed:?}, found {body}");
        anyhow::Ok(())
    };
    let first = Question::in_new_thread("first");
    let thread = &first.thread_id;
    let first_id = &first.items[0]["id"];
    begin(&first, "begun", &[]).await?;
    let one = &complete(&first, "one").await?;

    let retry = Question::retry(thread, first_id.as_str().unwrap_or_default()).with_key("1");
    begin(&retry, "begun", &[one]).await?;
    // The caller has lost the response.
    begin(&retry, "begun", &[one]).await?;
    rpc::end_lease(&chat.stack, retry.run_id).await?;
    let mark = &retry.draft[0]["id"];
    let elsewhere = Question::in_new_thread("elsewhere");
    session.answer(&chat.stack, &elsewhere, "an answer").await?;
    let other_id = elsewhere.items[0]["id"].as_str().unwrap_or_default();
    session.answer(&chat.stack, &Question::retry(&elsewhere.thread_id, other_id), "another").await?;
    let taken_up = retry.repeated();
    begin(&taken_up, "begun", &[mark, one]).await?;
    begin(&retry.repeated(), "repeated", &[mark, one]).await?;
    let two = &complete(&taken_up, "two").await?;
    begin(&retry.repeated(), "repeated", &[mark, one]).await?;
    let again = Question::retry(thread, first_id.as_str().unwrap_or_default()).with_key("2");
    begin(&again, "begun", &[two, mark, one]).await?;
    let three = &complete(&again, "three").await?;

    let second = Question::in_thread(thread, "second");
    let second_id = &second.items[0]["id"];
    begin(&second, "begun", &[]).await?;
    let four = &complete(&second, "four").await?;
    let retry = Question::retry(thread, second_id.as_str().unwrap_or_default()).with_key("3");
    begin(&retry, "begun", &[four]).await?;
    let five = &complete(&retry, "five").await?;
    let retry = Question::retry(thread, first_id.as_str().unwrap_or_default()).with_key("4");
    begin(&retry, "begun", &[three, second_id, five, four]).await
}

/// With a key it is the old request still; without one, the same words are a new message.
#[tokio::test]
async fn broken_answer_is_not_taken_up_after_the_conversation_went_on() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let first = Question::in_new_thread("first");
    session.answer(&chat.stack, &first, "an answer").await?;
    let thread = &first.thread_id;
    for question in [Question::in_thread(thread, "Pay").with_key("1"), Question::in_thread(thread, "Pay")] {
        session.expect_begin(&chat.stack, &question, "begun").await?;
        ensure!(session.finish(&chat.stack, question.run_id, "failed", Vec::new()).await?);
        session.answer(&chat.stack, &Question::in_thread(thread, "Wait"), "I wait").await?;
        let again = question.repeated();
        if question.has_key {
            let repeated = session.expect_begin(&chat.stack, &again, "repeated").await?;
            ensure!(repeated["run_id"] == json!(question.run_id), "{repeated}");
            ensure!(repeated["status"] == "failed" && repeated["items"] == json!([]), "{repeated}");
        } else {
            session.expect_begin(&chat.stack, &again, "begun").await?;
        }
    }
    let found = texts(&session.items(&chat.stack, thread).await?);
    let expected = ["first", "an answer", "Pay", "Wait", "I wait", "Pay", "Wait", "I wait", "Pay"];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[tokio::test]
async fn repeated_key_returns_the_items_of_its_own_answer() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first").with_key("1");
    let thread = &question.thread_id;
    session.answer(&chat.stack, &question, "one").await?;
    let second = Question::in_thread(thread, "second").with_key("2");
    session.answer(&chat.stack, &second, "two").await?;
    for (question, text) in [(&question, "one"), (&second, "two")] {
        let repeated = session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
        ensure!(repeated["status"] == "completed" && repeated["run_id"] == json!(question.run_id));
        ensure!(repeated["question"]["id"] == question.items[0]["id"], "{repeated}");
        ensure!(texts(&repeated["items"]) == [text], "expected {text}, found {repeated}");
    }
    // Another answer to the first message replaces everything after it.
    let message = question.items[0]["id"].as_str().unwrap_or_default();
    let retry = Question::retry(thread, message).with_key("3");
    session.answer(&chat.stack, &retry, "another").await?;
    for (question, expected) in [(&question, &[][..]), (&second, &[]), (&retry, &["another"])] {
        let repeated = session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
        let found = texts(&repeated["items"]);
        ensure!(found == expected, "expected {expected:?}, found {found:?}");
    }
    let repeated = session.expect_begin(&chat.stack, &second.repeated(), "repeated").await?;
    ensure!(repeated["question"].is_null(), "the second message was removed: {repeated}");
    Ok(())
}

#[tokio::test]
async fn key_with_another_request_is_rejected() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello").with_key("1");
    session.answer(&chat.stack, &question, "Hello").await?;
    let other = Question { request_hash: "another".to_owned(), ..question.repeated() };
    let (status, body) = session.begin(&chat.stack, &other).await?;
    ensure!(status == 422 && body["message"] == "idempotency_key_reused", "{status} {body}");
    // After a day the key is unknown.
    chat.execute("update chat_runs set started_at = started_at - interval '25 hours'").await?;
    session.expect_begin(&chat.stack, &other, "begun").await?;
    Ok(())
}

/// The same RPC again, for example because its response was lost.
#[tokio::test]
async fn repeated_rpc_returns_the_run_that_it_began() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    let first = session.expect_begin(&chat.stack, &question, "begun").await?;
    let second = session.expect_begin(&chat.stack, &question, "begun").await?;
    for part in ["run_id", "thread", "question", "history", "settings", "user"] {
        ensure!(first[part] == second[part], "{part}: {first} and {second}");
    }
    ensure!(chat.count("chat_messages").await? == 1);
    Ok(())
}

#[tokio::test]
async fn turns_are_charged_once_and_before_anything_is_stored() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let limits = json!({ "p_org_id": chat.user.org_id, "p_turns_per_minute_user": 2 });
    rpc::call(&chat.stack, "set_org_limits", limits).await?;
    let question = Question::in_new_thread("one").with_key("1");
    let begun = session.expect_begin(&chat.stack, &question, "begun").await?;
    ensure!(begun["limit"]["limit"] == 2 && begun["limit"]["remaining"] == 1, "{begun}");
    for _ in 0..5 {
        session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
    }
    session.expect_begin(&chat.stack, &Question::in_new_thread("two"), "begun").await?;
    let before = chat.count("chat_messages").await?;
    // The user's limit: another session does not help.
    for session in [&session, &chat.open().await?] {
        let (status, body) = session.begin(&chat.stack, &Question::in_new_thread("three")).await?;
        ensure!(status == 429 && body["message"] == "rate_limited", "{status} {body}");
    }
    ensure!(chat.count("chat_messages").await? == before && chat.count("chat_runs").await? == 2);
    ensure!(chat.count("chat_threads").await? == 2, "a refused question left a thread");
    session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
    Ok(())
}
