//! `GET /chatkit/sessions/{id}`: the lists of a session.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{TestClient, session_path};
use crate::support::self_hosted::{SelfHostedSession, thread_id};

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

#[tokio::test]
async fn threads_of_self_hosted_sessions_come_from_the_database() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let other = SelfHostedSession::open_for(&stack, copy(&stack, &session)).await?;
    let [first, second, shared, deleted] = [(); 4].map(|()| thread_id());
    for thread in [&first, &second, &deleted] {
        session.answer(&stack, thread, "Is invoice 42 paid?", "Yes.").await?;
    }
    other.answer(&stack, &shared, "And 43?", "No.").await?;
    session.delete_thread(&stack, &deleted).await?;
    // The last use decides the order, also that of a thread of another session.
    session.answer(&stack, &shared, "Really?", "Yes.").await?;
    session.answer(&stack, &first, "And 44?", "No.").await?;

    let org_id = session.caller.user.org_id;
    let approver = TestClient::in_organisation(&stack, org_id, OrgRole::Approver).await?;
    for caller in [&session.caller, &approver] {
        let shown = caller.get(&session.path).await?.expect(200)?;
        ensure!(shown["chatkit"]["available"] == true && shown["cut"] == json!([]), "{shown:#}");
        let threads = shown["chatkit"]["threads"].as_array().context("no threads")?;
        let ids: Vec<&Value> = threads.iter().map(|thread| &thread["id"]).collect();
        ensure!(ids == [&json!(first), &json!(shared), &json!(second)], "expected three, found {threads:?}");
        let is_complete = threads.iter().all(|thread| {
            thread["status"] == "active" && thread["title"].is_string() && thread["createdAt"].is_string()
        });
        ensure!(is_complete, "expected title, status and time, found {threads:?}");
    }
    let elsewhere = session.caller.get(&other.path).await?.expect(200)?;
    ensure!(elsewhere["chatkit"]["threads"][0]["id"] == shared, "{elsewhere:#}");
    let without = session.caller.get(&format!("{}?include=none", session.path)).await?.expect(200)?;
    ensure!(without["chatkit"].is_null(), "expected no threads, found {without:#}");
    let calls = stack.openai().requests();
    ensure!(calls.is_empty(), "expected no request to OpenAI, found {calls:?}");
    let charged: i64 =
        sqlx::query_scalar("select count(*) from public.throttles where kind = 'thread_reading'")
            .fetch_one(stack.database())
            .await?;
    ensure!(charged == 0, "the read of threads was charged");
    Ok(())
}

#[tokio::test]
async fn more_than_a_hundred_threads_are_cut() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let user = &session.caller.user;
    let insert = "with t as (
          insert into public.chat_threads (id, org_id, user_id, agent_id, title)
          select 'thr_' || md5(n::text), $1, $2, 'accounts_payable', n::text from generate_series(1, $4) as n
          returning id, title
        )
        insert into public.chat_thread_sessions (org_id, user_id, session_id, thread_id, last_used_at)
        select $1, $2, $3, id, now() - make_interval(mins => title::int) from t";
    let id: uuid::Uuid = session.path.rsplit('/').next().context("no id")?.parse()?;
    let insert = sqlx::query(insert).bind(user.org_id).bind(user.id).bind(id).bind(101);
    insert.execute(stack.database()).await?;
    let shown = session.caller.get(&session.path).await?.expect(200)?;
    let titles: Vec<String> = shown["chatkit"]["threads"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|thread| thread["title"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected: Vec<String> = (1..=100).map(|n: u32| n.to_string()).collect();
    ensure!(titles == expected, "expected the latest 100, found {titles:?}");
    ensure!(shown["cut"] == json!(["threads"]), "expected that the list is marked, found {}", shown["cut"]);
    Ok(())
}

/// Another client of the same user.
fn copy(stack: &LocalStack, session: &SelfHostedSession) -> TestClient {
    TestClient::from_user(stack, session.caller.user.clone())
}
