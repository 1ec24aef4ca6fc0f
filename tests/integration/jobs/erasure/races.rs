//! Erasures of a user who sends requests at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use http_client::Method;
use local_stack::LocalStack;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::outages::assert_erased;
use super::{count, erase, fixture, table_rows};
use crate::support::client::{AGENT, TestClient, TestResponse};

/// Tabs of the browser, each of which sends requests without a pause.
const TABS: usize = 4;

#[tokio::test]
async fn concurrent_requests_leave_no_rows_after_erasure() -> Result<()> {
    let stack = LocalStack::start().await?;
    for run in 0..6 {
        let member = fixture::member(&stack).await?;
        fixture::create_data(&stack, &member).await?;
        let name = fixture::chatkit_user(&stack, &member).await?;
        let session = member.open_session_path().await?;
        let done = AtomicBool::new(false);
        let tabs = (0..TABS).map(|tab| send_requests(&member, &session, tab, &done));
        let erased = async {
            tokio::time::sleep(Duration::from_millis(40 * run)).await;
            // Two operators request the erasure at the same time.
            let (one, other) = tokio::join!(erase(&stack, &member), erase(&stack, &member));
            done.store(true, Ordering::Relaxed);
            one.and(other)
        };
        let (erased, tabs) = tokio::join!(erased, join_all(tabs));
        erased?;
        let rejected: usize = tabs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
        ensure!(rejected > 0, "no request was rejected during the erasure");
        // Requests after the end of the erasure created new data, which the second erasure deletes.
        erase(&stack, &member).await?;
        assert_erased(&stack, &member, &name).await?;
        let orphans = "select count(*) from chat_events as e
            where not exists (select from chat_sessions as s where s.id = e.session_id)";
        ensure!(count(&stack, orphans).await? == 0);
    }
    Ok(())
}

/// The erasure cannot see rows of uncommitted transactions, but must erase them.
#[tokio::test]
async fn erasure_waits_for_uncommitted_transactions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let (org, user) = (member.user.org_id, member.user.id);
    let opening = format!(
        "select public.open_session('{org}', '{user}', gen_random_uuid(), '{AGENT}', 'web', '{{}}', gen_random_uuid())"
    );
    let claiming = format!(
        "select chatkit_private.claim_idempotency_key('{org}', '{user}', 'x', 'k-1', repeat('0', 64))"
    );
    // A key can also be claimed while the erasure is running.
    for (is_running, statement) in [(false, opening), (false, claiming.clone()), (true, claiming.clone())] {
        let user_arguments = json!({ "p_org_id": org, "p_user_id": user });
        if is_running {
            // A row that does not belong to a session.
            let earlier = claiming.replace("k-1", "k-0");
            sqlx::query(AssertSqlSafe(earlier)).execute(stack.database()).await?;
            let arguments =
                json!({ "p_org_id": org, "p_user_id": user, "p_requested_by": "ops", "p_reason": "a test" });
            ensure!(stack.rpc("begin_erasure", arguments).await?.0.is_success());
        }
        let mut transaction = stack.database().begin().await?;
        sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await?;
        let committing = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            transaction.commit().await?;
            // The result of the request to OpenAI is never recorded.
            sqlx::query("update chatkit_sessions set requested_at = now() - interval '2 minutes'")
                .execute(stack.database())
                .await?;
            Ok(())
        };
        let erasing = async {
            if is_running {
                // Only the last step of the erasure remains.
                let (status, finished) = stack.rpc("finish_erasure", user_arguments).await?;
                ensure!(status.is_success(), "{finished}");
                return Ok(());
            }
            erase(&stack, &member).await.map(drop)
        };
        let (erased, committed) = tokio::join!(erasing, committing);
        committed.and(erased)?;
        let left = table_rows::of_user(&table_rows::read_all(&stack).await?, &member);
        ensure!(left.is_empty(), "{statement}: remaining rows: {left:#?}");
    }
    Ok(())
}

/// Claims update rows of a session without locking the session.
#[tokio::test]
async fn rows_updated_by_claims_during_erasure_are_erased() -> Result<()> {
    let stack = LocalStack::start().await?;
    let updates = [
        "update transcripts_due set attempts = attempts + 1",
        "update retention_leases set lease_until = lease_until + interval '1 second'",
        "update chatkit_sessions set cancel_lease_until = now() where cancelled_at is not null",
    ];
    for update in updates {
        let member = fixture::member(&stack).await?;
        fixture::create_data(&stack, &member).await?;
        let mut transaction = stack.database().begin().await?;
        let updated = sqlx::query(update).execute(&mut *transaction).await?.rows_affected();
        ensure!(updated > 0, "{update}: no row was updated");
        let committing = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            transaction.commit().await.map_err(anyhow::Error::from)
        };
        let (erased, committed) = tokio::join!(erase(&stack, &member), committing);
        committed?;
        erased.map_err(|error| error.context(update))?;
        let left = table_rows::of_user(&table_rows::read_all(&stack).await?, &member);
        ensure!(left.is_empty(), "{update}: remaining rows: {left:#?}");
    }
    Ok(())
}

/// Opens sessions and records events until `done` is set. Returns how many sessions were rejected
/// because of the erasure.
async fn send_requests(member: &TestClient, session: &str, tab: usize, done: &AtomicBool) -> Result<usize> {
    let mut rejected = 0;
    for turn in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{tab}-{turn}");
        let key = [("idempotency-key", &*key)];
        let body = json!({ "agentId": AGENT });
        let opened = member.send(Method::POST, "/chatkit/sessions", &key, Some(body)).await?;
        let expected = [(201, ""), (409, "erasure_running"), (409, "session_ended"), (429, "rate_limited")];
        rejected += usize::from(is_rejected_by_erasure(&opened, &expected)?);
        let event = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "go" } });
        let recorded = member.send(Method::POST, &format!("{session}/events"), &key, Some(event)).await?;
        let expected = [(201, ""), (409, "session_ended"), (404, "session_not_found"), (429, "rate_limited")];
        is_rejected_by_erasure(&recorded, &expected)?;
    }
    Ok(rejected)
}

/// Returns whether the erasure caused the response. Fails if the response is not an expected one.
fn is_rejected_by_erasure(reply: &TestResponse, expected: &[(u16, &str)]) -> Result<bool> {
    let code = reply.body["code"].as_str().unwrap_or_default();
    ensure!(expected.contains(&(reply.status.as_u16(), code)), "{reply:?}");
    Ok(code == "erasure_running")
}
