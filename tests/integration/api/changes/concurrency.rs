//! Changes that commit in another order than they were made.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use local_stack::LocalStack;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Feed, id_of};
use crate::support::client::{TestClient, session_path};
use crate::support::escalations::EscalationFixture;

/// A transaction stays open for 30 seconds while others commit and are polled past. No writer waits
/// for it.
#[tokio::test]
async fn change_that_commits_late_is_returned_once() -> Result<()> {
    const HELD: Duration = Duration::from_secs(30);
    const WRITES: u32 = 10;
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (late, early) = (caller.open_session().await?, caller.open_session().await?);
    let mut feed = Feed::new(&caller, "own").await?;
    let mut transaction = stack.database().begin().await?;
    let touch = "update chat_sessions set last_activity_at = clock_timestamp() where id = $1";
    sqlx::query(touch).bind(id_of(&late).parse::<Uuid>()?).execute(&mut *transaction).await?;
    let begun = Instant::now();
    let early_path = session_path(&early);
    for write in 1..=WRITES {
        let recorded = caller.record_event(&early_path, "custom_x", json!({}));
        let recorded = tokio::time::timeout(Duration::from_secs(5), recorded).await;
        recorded.context("a writer waits for the open transaction")??.expect(201)?;
        let found = feed.poll_ids().await?;
        ensure!(found == [id_of(&early)], "expected {}, found {found:?}", early["id"]);
        let found = feed.poll_ids().await?;
        ensure!(found.is_empty(), "expected no changes, found {found:?}");
        tokio::time::sleep_until(begun + HELD * write / WRITES).await;
    }
    transaction.commit().await?;
    let found = feed.poll_ids().await?;
    ensure!(found == [id_of(&late)], "expected {}, found {found:?}", late["id"]);
    let found = feed.poll_ids().await?;
    ensure!(found.is_empty(), "expected no changes, found {found:?}");
    Ok(())
}

#[tokio::test]
async fn escalation_that_commits_late_is_returned_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let late = fixture.escalate_from_page(json!({})).await?;
    let early = fixture.escalate_from_page(json!({})).await?;
    let mut feed = Feed::new(&fixture.approver, "own").await?;
    let touch = "update chat_escalations set risk = risk where id = $1";
    let mut transaction = stack.database().begin().await?;
    sqlx::query(touch).bind(id_of(&late).parse::<Uuid>()?).execute(&mut *transaction).await?;
    sqlx::query(touch).bind(id_of(&early).parse::<Uuid>()?).execute(stack.database()).await?;
    for expected in [vec![id_of(&early)], Vec::new()] {
        let found = feed.poll_ids().await?;
        ensure!(found == expected, "before the commit: expected {expected:?}, found {found:?}");
    }
    transaction.commit().await?;
    for expected in [vec![id_of(&late)], Vec::new()] {
        let found = feed.poll_ids().await?;
        ensure!(found == expected, "after the commit: expected {expected:?}, found {found:?}");
    }
    Ok(())
}

/// A change that is rolled back is not a change.
#[tokio::test]
async fn change_of_a_transaction_that_is_rolled_back_is_not_returned() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let mut feed = Feed::new(&caller, "own").await?;
    let mut transaction = stack.database().begin().await?;
    let touch = "update chat_sessions set last_activity_at = clock_timestamp() where id = $1";
    sqlx::query(touch).bind(id_of(&session).parse::<Uuid>()?).execute(&mut *transaction).await?;
    feed.poll().await?;
    transaction.rollback().await?;
    let found = feed.poll_ids().await?;
    ensure!(found.is_empty(), "expected no changes, found {found:?}");
    Ok(())
}

/// Writers hold their transactions open for different times. A poller that runs meanwhile ends with
/// the latest number of each session, and gets each number once.
#[tokio::test]
async fn poller_gets_the_last_state_of_concurrent_writers() -> Result<()> {
    const WRITERS: usize = 6;
    const WRITES: i64 = 25;
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let mut sessions = Vec::new();
    for _ in 0..WRITERS {
        sessions.push(id_of(&caller.open_session().await?));
    }
    let mut feed = Feed::new(&caller, "own").await?;
    let write = async |writer: usize, session: &String| -> Result<()> {
        let id: Uuid = session.parse()?;
        for turn in 0..WRITES {
            let mut transaction = stack.database().begin().await?;
            let count = "update chat_sessions set last_event_seq = last_event_seq + 1 where id = $1";
            sqlx::query(count).bind(id).execute(&mut *transaction).await?;
            let pause = (writer as u64 * 7 + turn as u64 * 5) % 23;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            transaction.commit().await?;
        }
        Ok(())
    };
    let writers = try_join_all(sessions.iter().enumerate().map(|(writer, session)| write(writer, session)));
    let mut latest: BTreeMap<String, i64> = BTreeMap::new();
    let mut polls = 0;
    let poller = async {
        // Every writer ends with this number, so the poller does not need to know when they end.
        while latest.len() < WRITERS || latest.values().any(|seq| *seq < WRITES) {
            let response = feed.poll().await?;
            for change in response["changes"].as_array().context("no changes")? {
                let id = change["sessionId"].as_str().context("no session")?.to_owned();
                let seq = change["lastEventSeq"].as_i64().context("no number")?;
                let before = latest.insert(id, seq);
                ensure!(before < Some(seq), "found the number {seq} after {before:?}: {change}");
            }
            polls += 1;
        }
        Ok(())
    };
    let both = async { tokio::try_join!(writers, poller) };
    let done = tokio::time::timeout(Duration::from_secs(60), both).await;
    done.with_context(|| "the poller missed a change")??;
    ensure!(polls > 5, "expected several polls during the writes, found {polls}");
    Ok(())
}

/// A cursor stays short, however many transactions run. Those that it leaves out are returned
/// again.
#[tokio::test]
async fn cursor_names_at_most_100_running_transactions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let running: Vec<String> = (10..160).map(|xid| xid.to_string()).collect();
    let query = "select chatkit_private.snapshot_cursor($1::pg_snapshot)";
    for (snapshot, expected) in [
        (format!("10:400:{}", running.join(",")), format!("10:110:{}", running[..100].join(","))),
        (format!("10:400:{}", running[..100].join(",")), format!("10:400:{}", running[..100].join(","))),
        ("10:10:".to_owned(), "10:10:".to_owned()),
    ] {
        let found: String = sqlx::query_scalar(query).bind(&snapshot).fetch_one(stack.database()).await?;
        ensure!(found == expected, "{snapshot}: expected {expected}, found {found}");
    }
    Ok(())
}
