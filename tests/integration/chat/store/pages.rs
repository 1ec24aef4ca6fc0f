//! Pages of threads and items, and the history for a model: complete, in order, and each read in
//! time that does not depend on the length of the thread.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::Chat;
use crate::support::chat_rpc::{ChatSession, Question, item, texts};

/// Follows the pages of a list. Returns the values of `field`, and the length of each page.
async fn all_pages(
    chat: &Chat,
    session: &ChatSession,
    name: &str,
    mut arguments: Value,
) -> Result<(Vec<String>, Vec<usize>)> {
    let (mut ids, mut lengths) = (Vec::new(), Vec::new());
    loop {
        let page = session.expect(&chat.stack, name, arguments.clone()).await?;
        let rows = page["rows"].as_array().cloned().unwrap_or_default();
        lengths.push(rows.len());
        ids.extend(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)));
        if page["more"] == false {
            return Ok((ids, lengths));
        }
        ensure!(!rows.is_empty() && lengths.len() < 100, "a page without rows has more: {page}");
        arguments["p_after"] = json!(ids.last());
    }
}

#[tokio::test]
async fn pages_contain_every_item_once_in_both_directions() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let first = Question::in_new_thread("first");
    let thread = &first.thread_id;
    session.answer(&chat.stack, &first, "one").await?;
    for n in 0..5 {
        session.answer(&chat.stack, &Question::in_thread(thread, &format!("{n}")), "answer").await?;
    }
    let expected: Vec<String> = session
        .items(&chat.stack, thread)
        .await?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["id"].as_str().map(str::to_owned))
        .collect();
    ensure!(expected.len() == 12);
    for limit in [1, 5, 12, 100] {
        for descending in [false, true] {
            let arguments = json!({ "p_thread_id": thread, "p_limit": limit, "p_descending": descending });
            let (mut ids, lengths) = all_pages(&chat, &session, "list_chat_items", arguments).await?;
            if descending {
                ids.reverse();
            }
            ensure!(ids == expected, "limit {limit}: expected {expected:?}, found {ids:?}");
            ensure!(lengths.len() == 12_usize.div_ceil(limit), "limit {limit}: {lengths:?}");
        }
    }
    // The last item of a page may be hidden before the next page is read.
    let arguments =
        json!({ "p_thread_id": thread, "p_limit": 5, "p_descending": true, "p_after": expected[11] });
    chat.execute(&format!(
        "update chat_messages set hidden_at = now() where chatkit_item_id = '{}'",
        expected[11]
    ))
    .await?;
    let page = session.expect(&chat.stack, "list_chat_items", arguments).await?;
    ensure!(page["rows"][0]["id"] == json!(expected[10]), "{page}");
    let unknown = json!({ "p_thread_id": thread, "p_limit": 5, "p_descending": true, "p_after": "msg_x" });
    session.expect_error(&chat.stack, "list_chat_items", unknown, (404, "item_not_found")).await
}

#[tokio::test]
async fn threads_are_listed_by_their_creation() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let mut expected = Vec::new();
    for n in 0..7 {
        let question = Question::in_new_thread(&format!("{n}"));
        session.expect_begin(&chat.stack, &question, "begun").await?;
        expected.push(question.thread_id);
    }
    for limit in [1, 3, 7, 9999] {
        for descending in [false, true] {
            let arguments = json!({ "p_limit": limit, "p_descending": descending });
            let (mut ids, _) = all_pages(&chat, &session, "list_chat_threads", arguments).await?;
            if descending {
                ids.reverse();
            }
            ensure!(ids == expected, "limit {limit}: expected {expected:?}, found {ids:?}");
        }
    }
    Ok(())
}

/// Items of up to 1 MiB.
#[tokio::test]
async fn pages_and_histories_are_bounded_in_bytes() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let first = Question::in_new_thread("first");
    let thread = &first.thread_id;
    session.answer(&chat.stack, &first, "one").await?;
    for n in 0..5 {
        let question = Question::in_thread(thread, &format!("{n}"));
        session.answer(&chat.stack, &question, &"x".repeat(900_000)).await?;
    }
    let arguments = json!({ "p_thread_id": thread, "p_limit": 100, "p_descending": false });
    let (ids, lengths) = all_pages(&chat, &session, "list_chat_items", arguments).await?;
    ensure!(ids.len() == 12 && lengths.len() == 5, "{lengths:?}");
    // 100,000 tokens are 800,000 bytes, so only the last question fits.
    let last = Question::in_thread(thread, "last");
    let begun = session.expect_begin(&chat.stack, &last, "begun").await?;
    ensure!(texts(&begun["history"]["items"]) == ["last"] && begun["history"]["complete"] == false);
    session.finish(&chat.stack, last.run_id, "completed", Vec::new()).await?;
    // A history has at most 4 MiB, whatever the model accepts.
    chat.execute("update session_model_settings set max_input_tokens = 2000000").await?;
    let begun = session.expect_begin(&chat.stack, &Question::in_thread(thread, "more"), "begun").await?;
    let found = texts(&begun["history"]["items"]);
    ensure!(begun["history"]["complete"] == false && begun.to_string().len() < 4_300_000);
    ensure!(found.len() == 10 && found[9] == "more" && found[0] == "1", "{} items", found.len());
    Ok(())
}

/// Rows that a statement read from a table, by its indexes and by scans.
async fn rows_read(chat: &Chat, statement: &str, table: &str) -> Result<i64> {
    let mut transaction = chat.stack.database().begin().await?;
    let read = format!(
        "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
         from pg_stat_xact_all_tables where relid = 'public.{table}'::regclass"
    );
    let before: Option<i64> =
        sqlx::query_scalar(AssertSqlSafe(read.clone())).fetch_optional(&mut *transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await?;
    let after: i64 = sqlx::query_scalar(AssertSqlSafe(read)).fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(after - before.unwrap_or(0))
}

/// A thread of ten items, and one of 10,000 with as many hidden ones; a user with 10,000 threads.
#[tokio::test]
async fn pages_of_a_long_thread_read_as_many_rows_as_those_of_a_short_one() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let (short, long) = (Question::in_new_thread("short"), Question::in_new_thread("long"));
    for question in [&short, &long] {
        session.answer(&chat.stack, question, "an answer").await?;
    }
    let (org, user) = (chat.user.org_id, chat.user.id);
    let fill = "
        insert into chat_messages (org_id, user_id, session_id, id, seq, role, content, chatkit_item_id,
                                   thread_id, thread_seq, kind, item)
        select '{org}', '{user}', '{session}', gen_random_uuid(), {first} + n, 'user', 'x', 'msg_{first}_' || n,
               '{thread}', 10 + 2 * n, 'user_message',
               jsonb_build_object('type', 'user_message', 'id', 'msg_{first}_' || n, 'thread_id', '{thread}',
                                  'content', jsonb_build_array(jsonb_build_object('text', repeat('x', 200))))
        from generate_series(1, {count}) as n;
        insert into chat_hidden_items (org_id, user_id, thread_id, thread_seq, kind, item)
        select '{org}', '{user}', '{thread}', 11 + 2 * n, 'reasoning', jsonb_build_object('text', repeat('x', 200))
        from generate_series(1, {count}) as n;
        insert into chat_runs (id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key,
                               request_hash, status, question_seq, preceding_item_seq, last_item_seq, started_at,
                               lease_until, finished_at, input_tokens)
        select gen_random_uuid(), '{org}', '{user}', '{session}', '{thread}', 'treasury_chat', 'x', 'k' || n,
               'x', 'completed', n, n, n + 1, now() - interval '1 hour', now(), now(), 1
        from generate_series(1, {count}) as n;
        update chat_threads set last_item_seq = 100000 where id = '{thread}'";
    for (question, count, first) in [(&short, "10", "10"), (&long, "10000", "1000")] {
        let statements = [
            ("{org}", &*org.to_string()),
            ("{user}", &user.to_string()),
            ("{session}", &session.id.to_string()),
            ("{thread}", &question.thread_id),
            ("{count}", count),
            ("{first}", first),
        ]
        .iter()
        .fold(fill.to_owned(), |text, (name, value)| text.replace(name, value));
        chat.execute_without_triggers(&statements).await?;
    }
    chat.execute_without_triggers(&format!(
        "insert into chat_threads (id, org_id, user_id, agent_id, created_at)
         select 'thr_' || md5(n::text), '{org}', '{user}', 'treasury_chat', now() - n * interval '1 second'
         from generate_series(1, 10000) as n"
    ))
    .await?;

    // With and without statistics.
    for prepare in ["select 1", "analyze"] {
        chat.execute(prepare).await?;
        let call =
            |what: &str, thread: &str| what.replace("{secret}", &session.secret).replace("{thread}", thread);
        for (what, table, most) in [
            ("select public.list_chat_items('{secret}', '{thread}', 5, true)", "chat_messages", 6),
            ("select public.list_chat_items('{secret}', '{thread}', 5, false)", "chat_messages", 6),
            ("select chatkit_private.thread_page('{thread}', 5, false, 20)", "chat_messages", 6),
            ("select chatkit_private.thread_page('{thread}', 5, true, 28)", "chat_messages", 6),
            // The cursor fetches up to 60 rows ahead.
            ("select chatkit_private.model_history('{thread}', 1000)", "chat_messages", 60),
            ("select chatkit_private.model_history('{thread}', 1000)", "chat_hidden_items", 60),
            ("select public.list_chat_threads('{secret}', 5, true)", "chat_threads", 6),
            ("select public.list_chat_threads('{secret}', 5, false, '{thread}')", "chat_threads", 7),
            (
                "select public.begin_chat_run('{secret}', gen_random_uuid(), 'x', 'x', true, '{thread}', false)",
                "chat_runs",
                40,
            ),
        ] {
            let of_short = rows_read(&chat, &call(what, &short.thread_id), table).await?;
            let of_long = rows_read(&chat, &call(what, &long.thread_id), table).await?;
            ensure!(
                of_long <= most,
                "{prepare}: {what}: {of_long} rows of {table}, {of_short} of the short thread"
            );
        }
    }
    // And the pages are the expected ones.
    let arguments = json!({ "p_thread_id": long.thread_id, "p_limit": 3, "p_descending": true });
    let page = session.expect(&chat.stack, "list_chat_items", arguments).await?;
    ensure!(page["more"] == true && page["rows"][0]["id"] == "msg_1000_10000", "{page}");
    let question = Question::in_thread(&long.thread_id, "Now?");
    let begun = session.expect_begin(&chat.stack, &question, "begun").await?;
    let items = begun["history"]["items"].as_array().map_or(0, Vec::len);
    ensure!(items == 1000 && begun["history"]["complete"] == false, "{items} items");
    let last = begun["history"]["items"].as_array().and_then(|items| items.last()).cloned();
    ensure!(last.is_some_and(|item| item["id"] == question.items[0]["id"]));
    let answer = item("assistant_message", &long.thread_id, "Now");
    ensure!(session.finish(&chat.stack, question.run_id, "completed", vec![answer]).await?);
    Ok(())
}
