//! A person who goes on while they are being erased, in many tabs at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use http_client::Method;
use local_stack::LocalStack;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::outages::gone;
use super::{erase, fixture, fixture_rows};
use crate::support::client::{AGENT, TestClient, TestResponse};

/// What tabs do, each as often as it can.
const TABS: usize = 4;

// NAME: erasure: whatever races it leaves nothing behind
#[tokio::test]
async fn raced() -> Result<()> {
    let stack = LocalStack::start().await?;
    for run in 0..6 {
        let person = fixture::member(&stack).await?;
        fixture::live(&stack, &person).await?;
        let name = fixture::chatkit_user(&stack, &person).await?;
        let session = person.open_path().await?;
        let done = std::sync::atomic::AtomicBool::new(false);
        let tabs = (0..TABS).map(|tab| busy(&person, &session, tab, &done));
        let erased = async {
            tokio::time::sleep(Duration::from_millis(40 * run)).await;
            // Two operators at once.
            let (one, other) = tokio::join!(erase(&stack, &person), erase(&stack, &person));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            one.and(other)
        };
        let (erased, tabs) = tokio::join!(erased, join_all(tabs));
        erased?;
        let refused: usize = tabs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
        ensure!(refused > 0, "nothing was refused, so nothing raced");
        // Whoever came after the end began anew; what they began is whole, and goes as everything does.
        erase(&stack, &person).await?;
        gone(&stack, &person, &name).await?;
        let strays = "select count(*) from chat_events as e
            where not exists (select from chat_sessions as s where s.id = e.session_id)";
        ensure!(super::count(&stack, strays).await? == 0);
    }
    Ok(())
}

/// Opens and records until it is told that the erasure is over; says how often it was refused for that.
async fn busy(
    person: &TestClient,
    session: &str,
    tab: usize,
    done: &std::sync::atomic::AtomicBool,
) -> Result<usize> {
    let mut refused = 0;
    for turn in 0.. {
        if done.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        let key = format!("{tab}-{turn}");
        let key = [("idempotency-key", &*key)];
        let body = json!({ "agentId": AGENT });
        let opened = person.send(Method::POST, "/chatkit/sessions", &key, Some(body)).await?;
        let ran = [(201, ""), (409, "erasure_running"), (409, "session_ended"), (429, "rate_limited")];
        refused += usize::from(is(&opened, &ran)?);
        let event = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "go" } });
        let recorded = person.send(Method::POST, &format!("{session}/events"), &key, Some(event)).await?;
        let ran = [(201, ""), (409, "session_ended"), (404, "session_not_found"), (429, "rate_limited")];
        is(&recorded, &ran)?;
    }
    Ok(refused)
}

/// Whether somebody was refused for the erasure; anything but these answers is a failure.
fn is(reply: &TestResponse, expected: &[(u16, &str)]) -> Result<bool> {
    let code = reply.body["code"].as_str().unwrap_or_default();
    ensure!(expected.contains(&(reply.status.as_u16(), code)), "{reply:?}");
    Ok(code == "erasure_running")
}

// NAME: erasure: what is just beginning is waited for, and what waits begins after it
/// Transactions that are not committed yet: what they do is seen by nobody, and yet it does not outlive the erasure.
#[tokio::test]
async fn just_beginning() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let (org, user) = (person.user.org_id, person.user.id);
    let opening = format!(
        "select public.open_session('{org}', '{user}', gen_random_uuid(), '{AGENT}', 'web', '{{}}', gen_random_uuid())"
    );
    let claiming = format!(
        "select chatkit_private.claim_idempotency_key('{org}', '{user}', 'x', 'k-1', repeat('0', 64))"
    );
    // A key can be claimed in the middle, too.
    for (begun, begins) in [(false, opening), (false, claiming.clone()), (true, claiming.clone())] {
        let of_person = json!({ "p_org_id": org, "p_user_id": user });
        if begun {
            // Something to erase, which hangs off no session.
            let known = claiming.replace("k-1", "k-0");
            sqlx::query(AssertSqlSafe(known)).execute(stack.database()).await?;
            let order =
                json!({ "p_org_id": org, "p_user_id": user, "p_requested_by": "ops", "p_reason": "a test" });
            ensure!(stack.rpc("begin_erasure", order).await?.0.is_success());
        }
        let mut transaction = stack.database().begin().await?;
        sqlx::query(AssertSqlSafe(begins.clone())).execute(&mut *transaction).await?;
        let committing = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            transaction.commit().await?;
            // Nobody will ever say what became of the request to OpenAI.
            sqlx::query("update chatkit_sessions set requested_at = now() - interval '2 minutes'")
                .execute(stack.database())
                .await?;
            Ok(())
        };
        let erasing = async {
            if begun {
                // All but the end of it is done.
                let (status, finished) = stack.rpc("finish_erasure", of_person).await?;
                ensure!(status.is_success(), "{finished}");
                return Ok(());
            }
            erase(&stack, &person).await.map(drop)
        };
        let (erased, committed) = tokio::join!(erasing, committing);
        committed.and(erased)?;
        let left = fixture_rows::of(&fixture_rows::all(&stack).await?, &person);
        ensure!(left.is_empty(), "{begins} left {left:#?}");
    }
    Ok(())
}

// NAME: erasure: a row that a claim updates meanwhile is erased too
/// Claims update rows of a session without the session's lock.
#[tokio::test]
async fn updated_meanwhile() -> Result<()> {
    let stack = LocalStack::start().await?;
    let updates = [
        "update transcripts_due set attempts = attempts + 1",
        "update retention_leases set lease_until = lease_until + interval '1 second'",
        "update chatkit_sessions set cancel_lease_until = now() where cancelled_at is not null",
    ];
    for update in updates {
        let person = fixture::member(&stack).await?;
        fixture::live(&stack, &person).await?;
        let mut transaction = stack.database().begin().await?;
        let updated = sqlx::query(update).execute(&mut *transaction).await?.rows_affected();
        ensure!(updated > 0, "{update}: there is no such row");
        let committing = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            transaction.commit().await.map_err(anyhow::Error::from)
        };
        let (erased, committed) = tokio::join!(erase(&stack, &person), committing);
        committed?;
        erased.map_err(|error| error.context(update))?;
        let left = fixture_rows::of(&fixture_rows::all(&stack).await?, &person);
        ensure!(left.is_empty(), "{update}: {left:#?}");
    }
    Ok(())
}
