//! Sessions with many threads, and threads that OpenAI rejects: limits of a session and of a run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Item, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::jobs::erasure::fixture::chatkit_user;
use crate::jobs::maintenance::{backdate_activity, run_maintenance};
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn session_links_at_most_100_threads() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    let session = caller.open_session().await?;
    let event = |n: usize| json!({ "id": Uuid::new_v4(), "type": "thread_changed", "payload": { "threadId": format!("cthr_{n}") } });
    let events: Vec<Value> = (0..50).map(event).collect();
    let at = format!("{}/events", session_path(&session));
    caller.post(&at, json!(events)).await?.expect(201)?;
    let events: Vec<Value> = (50..100).map(event).collect();
    caller.post(&at, json!(events)).await?.expect(201)?;
    let rejected = caller.post(&at, event(100)).await?;
    rejected.problem(409, "too_many_threads")?;
    // A thread that is linked already, and no thread, are accepted.
    link(&caller, &session, "cthr_7").await?;
    caller
        .record_event(&session_path(&session), "thread_changed", json!({ "threadId": null }))
        .await?
        .expect(201)?;
    // If one event is rejected, no event of the request is recorded.
    caller.post(&at, json!([event(3), event(101)])).await?.problem(409, "too_many_threads")?;
    let shown = caller.get(&session_path(&session)).await?.expect(200)?;
    ensure!(shown["lastEventSeq"] == 102 || shown["events"].is_array(), "{shown}");
    let linked: i64 =
        sqlx::query_scalar("select count(*) from chatkit_threads").fetch_one(stack.database()).await?;
    ensure!(linked == 100, "expected 100 threads, found {linked}");
    link(&caller, &caller.open_session().await?, "cthr_100").await
}

#[tokio::test]
async fn thread_rejected_by_openai_blocks_no_job() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for (status, name) in [(400, "bad"), (403, "foreign"), (404, "gone"), (422, "odd")] {
        stack.openai().add_fault(Fault::everywhere().path_contains(&format!("cthr_{name}")).status(status));
    }
    let session = caller.open_session().await?;
    let user = chatkit_user(&stack, &caller).await?;
    let own =
        stack.openai().put_thread(&user, None, vec![Item::user("Is it paid?"), Item::assistant("Yes")])?;
    for id in ["cthr_bad", "cthr_foreign", "cthr_gone", "cthr_odd", &own] {
        link(&caller, &session, id).await?;
    }
    let threads = caller.get(&session_path(&session)).await?.expect(200)?["chatkit"].clone();
    ensure!(
        threads["available"] == true && threads["threads"].as_array().map(Vec::len) == Some(1),
        "{threads}"
    );
    // The readable thread has a new message.
    backdate_activity(&stack, &session).await?;
    ensure!(
        run_maintenance(&stack).await?["stillActive"] == 1,
        "the message of the readable thread was ignored"
    );
    stack.openai().add_fault(
        Fault::new(Operation::ListItems)
            .path_contains(&own)
            .body(json!({ "object": "list", "data": [], "has_more": false }))
            .times(1),
    );
    backdate_activity(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1 && report["postponed"] == 0, "{report}");
    ensure!(report["transcriptMessages"] == 2, "{report}");
    let due: i64 =
        sqlx::query_scalar("select count(*) from transcripts_due").fetch_one(stack.database()).await?;
    ensure!(due == 0, "the transcript is still due");
    // OpenAI lists the user's thread, but rejects its deletion.
    stack.openai().add_fault(Fault::new(Operation::DeleteThread).path_contains(&own).status(400));
    let request = json!({ "orgId": caller.user.org_id, "userId": caller.user.id, "requestedBy": "ops", "reason": "a test" });
    let report = stack.invoke_admin("erase-user", &request).await?;
    ensure!(report["finishedAt"].is_string() && report["counts"]["threads"] == 0, "{report}");
    ensure!(report["counts"]["undeletedThreads"] == 1, "{report}");
    Ok(())
}

#[tokio::test]
async fn idle_session_is_postponed_if_openai_rejects_every_thread() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    link(&caller, &session, "cthr_x").await?;
    stack.openai().add_fault(Fault::everywhere().status(403));
    backdate_activity(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["postponed"] == 1 && report["expiredSessions"] == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn idle_session_with_many_threads_is_checked_in_batches() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    link_all(&stack, &caller, &session, &thread_ids(60)).await?;
    backdate_activity(&stack, &session).await?;
    for expected in [25, 50] {
        let report = run_maintenance(&stack).await?;
        ensure!(report["postponed"] == 1 && report["expiredSessions"] == 0, "{report}");
        let requests = stack.openai().calls(Operation::ListItems).len();
        ensure!(requests == expected, "expected {expected} requests, found {requests}");
        skip_delays(&stack).await?;
    }
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1, "{report}");
    let paths: BTreeSet<String> =
        stack.openai().calls(Operation::ListItems).into_iter().map(|call| call.path).collect();
    ensure!(paths.len() == 60, "expected requests for 60 threads, found {}", paths.len());
    Ok(())
}

#[tokio::test]
async fn long_transcript_is_copied_over_several_runs() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let user = chatkit_user(&stack, &caller).await?;
    // More pages than a run reads.
    let long = (0..10_250).map(|n| Item::user(&format!("Line {n}"))).collect();
    let mut threads = vec![stack.openai().put_thread(&user, None, long)?];
    for _ in 0..40 {
        threads.push(stack.openai().put_thread(&user, None, vec![Item::user("Short")])?);
    }
    link_all(&stack, &caller, &session, &threads).await?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    let (mut copied, mut runs) = (0, 0);
    while copied < 10_290 {
        let before = stack.openai().requests().len();
        let report = run_maintenance(&stack).await?;
        let calls = stack.openai().requests().len() - before;
        ensure!(calls <= 101, "{calls} calls for one session in a run");
        let now = report["transcriptMessages"].as_u64().unwrap_or_default();
        ensure!(now > 0 && runs < 20, "no progress: {copied} messages after {runs} runs, {report}");
        (copied, runs) = (copied + now, runs + 1);
        let attempts: Option<i32> = sqlx::query_scalar("select attempts from transcripts_due")
            .fetch_optional(stack.database())
            .await?;
        let is_failure = attempts.is_some_and(|attempts| attempts > 0);
        ensure!(!is_failure, "the end of the run's budget counts as a failure: {attempts:?}");
        skip_delays(&stack).await?;
    }
    ensure!(copied == 10_290 && runs > 2, "{copied} messages in {runs} runs");
    // Each page was requested once.
    let pages = stack.openai().calls(Operation::ListItems).len();
    ensure!(pages <= 103 + 40 + runs, "{pages} pages were requested");
    run_maintenance(&stack).await?;
    let due: i64 =
        sqlx::query_scalar("select count(*) from transcripts_due").fetch_one(stack.database()).await?;
    ensure!(due == 0, "the transcript is still due");
    Ok(())
}

#[tokio::test]
async fn overdue_session_with_many_threads_is_erased_in_batches() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let user = chatkit_user(&stack, &caller).await?;
    let threads: Vec<String> = (0..120)
        .map(|_| stack.openai().put_thread(&user, None, vec![Item::user("Short")]))
        .collect::<Result<_>>()?;
    link_all(&stack, &caller, &session, &threads).await?;
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    sqlx::raw_sql(
        "begin; set local session_replication_role = replica;
         update chat_sessions set ended_at = now() - interval '3 days'; delete from transcripts_due; commit",
    )
    .execute(stack.database())
    .await?;
    stack.rpc("set_retention", json!({ "p_org_id": caller.user.org_id, "p_keep_days": 1 })).await?;
    for expected in [50, 50, 20] {
        let before = stack.openai().requests().len();
        let report = run_maintenance(&stack).await?;
        let calls = stack.openai().requests().len() - before;
        ensure!(report["deletedThreads"] == expected && calls <= 101, "{calls} calls, {report}");
        ensure!(report["erasedSessions"] == u64::from(expected == 20), "{report}");
        skip_delays(&stack).await?;
    }
    ensure!(stack.openai().thread_ids_of_user(&user).is_empty(), "the user still has threads");
    Ok(())
}

async fn link(caller: &TestClient, session: &Value, thread_id: &str) -> Result<()> {
    let linked = caller
        .record_event(&session_path(session), "thread_changed", json!({ "threadId": thread_id }))
        .await?;
    linked.expect(201).map(drop)
}

/// Links threads in the database, beyond the limit of the API.
async fn link_all(
    stack: &LocalStack,
    caller: &TestClient,
    session: &Value,
    thread_ids: &[String],
) -> Result<()> {
    let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
    let query = "insert into chatkit_threads (org_id, user_id, session_id, thread_id, linked_at)
        select $1, $2, $3, t.id, now() + t.place * interval '1 microsecond'
        from unnest($4::text[]) with ordinality as t (id, place)";
    let query = sqlx::query(query).bind(caller.user.org_id).bind(caller.user.id).bind(id).bind(thread_ids);
    query.execute(stack.database()).await?;
    Ok(())
}

/// Makes work due that a run has postponed by a minute.
async fn skip_delays(stack: &LocalStack) -> Result<()> {
    let statements = "update idle_checks set due_at = now(); update transcripts_due set due_at = now();
        update retention_leases set lease_until = now()";
    sqlx::raw_sql(statements).execute(stack.database()).await?;
    Ok(())
}

fn thread_ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("cthr_{n:03}")).collect()
}
