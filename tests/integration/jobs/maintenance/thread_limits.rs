//! Links: how many a session may have, what a run spends on them, and what OpenAI refuses for one of them.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Fault, Item, On};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::jobs::maintenance::idle_sessions::{forget, run_maintenance};
use crate::support::client::{TestClient, path};

async fn link(caller: &TestClient, session: &Value, thread_id: &str) -> Result<()> {
    let linked = caller.record(&path(session), "thread_changed", json!({ "threadId": thread_id })).await?;
    linked.expect(201).map(drop)
}

/// Links as many threads as these, past the API.
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

async fn chatkit_user(stack: &LocalStack, caller: &TestClient) -> Result<String> {
    let query = sqlx::query_scalar("select chatkit_user from chatkit_users where user_id = $1");
    Ok(query.bind(caller.user.id).fetch_one(stack.database()).await?)
}

// NAME: bounds: a session links a hundred threads and no more
#[tokio::test]
async fn a_hundred() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.raise_limits(caller.user.org_id).await?;
    let session = caller.open().await?;
    let event = |n: usize| json!({ "id": Uuid::new_v4(), "type": "thread_changed", "payload": { "threadId": format!("cthr_{n}") } });
    let events: Vec<Value> = (0..50).map(event).collect();
    let at = format!("{}/events", path(&session));
    caller.post(&at, json!(events)).await?.expect(201)?;
    let events: Vec<Value> = (50..100).map(event).collect();
    caller.post(&at, json!(events)).await?.expect(201)?;
    let refused = caller.post(&at, event(100)).await?;
    refused.problem(409, "too_many_threads")?;
    // One that is known already, and none at all, change nothing.
    link(&caller, &session, "cthr_7").await?;
    caller.record(&path(&session), "thread_changed", json!({ "threadId": null })).await?.expect(201)?;
    // All of a body or nothing.
    caller.post(&at, json!([event(3), event(101)])).await?.problem(409, "too_many_threads")?;
    let shown = caller.get(&path(&session)).await?.expect(200)?;
    ensure!(shown["lastEventSeq"] == 102 || shown["events"].is_array(), "{shown}");
    let linked: i64 =
        sqlx::query_scalar("select count(*) from chatkit_threads").fetch_one(stack.database()).await?;
    ensure!(linked == 100, "{linked} threads");
    link(&caller, &caller.open().await?, "cthr_100").await
}

// NAME: bounds: what OpenAI refuses for one thread pins neither session, transcript nor erasure
#[tokio::test]
async fn refused() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for (status, word) in [(400, "bad"), (403, "foreign"), (404, "gone"), (422, "odd")] {
        stack.openai().fault(Fault::everywhere().about(&format!("cthr_{word}")).status(status));
    }
    let session = caller.open().await?;
    let user = chatkit_user(&stack, &caller).await?;
    let own =
        stack.openai().put_thread(&user, None, vec![Item::user("Is it paid?"), Item::assistant("Yes")])?;
    for id in ["cthr_bad", "cthr_foreign", "cthr_gone", "cthr_odd", &own] {
        link(&caller, &session, id).await?;
    }
    let threads = caller.get(&path(&session)).await?.expect(200)?["chatkit"].clone();
    ensure!(
        threads["available"] == true && threads["threads"].as_array().map(Vec::len) == Some(1),
        "{threads}"
    );
    // Something was said just now in the one that can be asked for.
    forget(&stack, &session).await?;
    ensure!(run_maintenance(&stack).await?["stillActive"] == 1, "what the one says is not heard");
    stack.openai().fault(
        Fault::new(On::ListItems)
            .about(&own)
            .body(json!({ "object": "list", "data": [], "has_more": false }))
            .times(1),
    );
    forget(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1 && report["postponed"] == 0, "{report}");
    ensure!(report["transcriptMessages"] == 2, "{report}");
    let due: i64 =
        sqlx::query_scalar("select count(*) from transcripts_due").fetch_one(stack.database()).await?;
    ensure!(due == 0, "the transcript comes again");
    // One of their own that OpenAI lists and does not delete.
    stack.openai().fault(Fault::new(On::DeleteThread).about(&own).status(400));
    let order = json!({ "orgId": caller.user.org_id, "userId": caller.user.id, "requestedBy": "ops", "reason": "asked" });
    let report = stack.invoke_admin("erase-user", &order).await?;
    ensure!(report["finishedAt"].is_string() && report["counts"]["threads"] == 0, "{report}");
    ensure!(report["counts"]["undeletedThreads"] == 1, "{report}");
    Ok(())
}

// NAME: bounds: a 403 of everything is an outage
#[tokio::test]
async fn refused_everywhere() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    link(&caller, &session, "cthr_x").await?;
    stack.openai().fault(Fault::everywhere().status(403));
    forget(&stack, &session).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["postponed"] == 1 && report["expiredSessions"] == 0, "{report}");
    Ok(())
}

/// Makes what is to go on in a minute go on now.
async fn a_minute_later(stack: &LocalStack) -> Result<()> {
    let statements = "update idle_checks set due_at = now(); update transcripts_due set due_at = now();
        update retention_leases set lease_until = now()";
    sqlx::raw_sql(statements).execute(stack.database()).await?;
    Ok(())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("cthr_{n:03}")).collect()
}

// NAME: bounds: an idle session with many threads is asked for bit by bit
#[tokio::test]
async fn idle() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    link_all(&stack, &caller, &session, &names(60)).await?;
    forget(&stack, &session).await?;
    for expected in [25, 50] {
        let report = run_maintenance(&stack).await?;
        ensure!(report["postponed"] == 1 && report["expiredSessions"] == 0, "{report}");
        let asked = stack.openai().calls(On::ListItems).len();
        ensure!(asked == expected, "{asked} threads were asked for");
        a_minute_later(&stack).await?;
    }
    let report = run_maintenance(&stack).await?;
    ensure!(report["expiredSessions"] == 1, "{report}");
    let asked: std::collections::BTreeSet<String> =
        stack.openai().calls(On::ListItems).into_iter().map(|call| call.path).collect();
    ensure!(asked.len() == 60, "{} threads were asked for", asked.len());
    Ok(())
}

// NAME: bounds: a long transcript goes on where it stopped, and that is no failure
#[tokio::test]
async fn transcript() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let user = chatkit_user(&stack, &caller).await?;
    // More pages than a run's budget.
    let long = (0..10_250).map(|n| Item::user(&format!("Line {n}"))).collect();
    let mut threads = vec![stack.openai().put_thread(&user, None, long)?];
    for _ in 0..40 {
        threads.push(stack.openai().put_thread(&user, None, vec![Item::user("Short")])?);
    }
    link_all(&stack, &caller, &session, &threads).await?;
    caller.cancel(&path(&session)).await?.expect(200)?;
    let (mut copied, mut runs) = (0, 0);
    while copied < 10_290 {
        let before = stack.openai().requests().len();
        let report = run_maintenance(&stack).await?;
        let calls = stack.openai().requests().len() - before;
        ensure!(calls <= 101, "{calls} calls for one session in a run");
        let now = report["transcriptMessages"].as_u64().unwrap_or_default();
        ensure!(now > 0 && runs < 20, "it does not go on: {copied} after {runs} runs, {report}");
        (copied, runs) = (copied + now, runs + 1);
        let attempts: Option<i32> = sqlx::query_scalar("select attempts from transcripts_due")
            .fetch_optional(stack.database())
            .await?;
        ensure!(attempts.is_none_or(|attempts| attempts == 0), "a budget's end is a failure: {attempts:?}");
        a_minute_later(&stack).await?;
    }
    ensure!(copied == 10_290 && runs > 2, "{copied} in {runs} runs");
    // Each page was asked for once.
    let pages = stack.openai().calls(On::ListItems).len();
    ensure!(pages <= 103 + 40 + runs, "{pages} pages were asked for");
    run_maintenance(&stack).await?;
    let due: i64 =
        sqlx::query_scalar("select count(*) from transcripts_due").fetch_one(stack.database()).await?;
    ensure!(due == 0, "it comes again");
    Ok(())
}

// NAME: bounds: an overdue session with many threads is erased bit by bit
#[tokio::test]
async fn overdue() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let user = chatkit_user(&stack, &caller).await?;
    let threads: Vec<String> = (0..120)
        .map(|_| stack.openai().put_thread(&user, None, vec![Item::user("Short")]))
        .collect::<Result<_>>()?;
    link_all(&stack, &caller, &session, &threads).await?;
    caller.cancel(&path(&session)).await?.expect(200)?;
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
        a_minute_later(&stack).await?;
    }
    ensure!(stack.openai().threads_of(&user).is_empty(), "threads are left");
    Ok(())
}
