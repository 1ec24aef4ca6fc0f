//! Cursors, conditional requests and incomplete responses.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_client::Method;
use local_stack::LocalStack;
use serde_json::json;

use super::{Feed, id_of, ids};
use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::escalations::EscalationFixture;

#[tokio::test]
async fn first_request_returns_cursor_and_counts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.open_session().await?;
    let first = caller.get("/chatkit/changes").await?.expect(200)?;
    let none = json!({ "open": 0, "decidable": 0, "oldestCreatedAt": null, "nextExpiresAt": null });
    ensure!(
        first["changes"] == json!([]) && first["incomplete"] == true && first["counts"] == none,
        "{first:#}"
    );
    Ok(())
}

#[tokio::test]
async fn poll_without_changes_is_constant_and_304() -> Result<()> {
    let stack = LocalStack::start().await?;
    let (caller, other) = (TestClient::new(&stack).await?, TestClient::new(&stack).await?);
    let session = caller.open_session().await?;
    let feed = Feed::new(&caller, "own").await?;
    let path = feed.path();
    let idle = caller.get(&path).await?;
    let tag = idle.headers.get("etag").context("no ETag")?.to_str()?.to_owned();
    ensure!(idle.headers["cache-control"] == "private, no-cache", "{idle:?}");
    let expected = json!({ "changes": [], "incomplete": false, "counts": null, "cursor": feed.cursor });
    ensure!(idle.body == expected, "expected {expected:#}, found {:#}", idle.body);
    let poll = async || caller.send(Method::GET, &path, &[("if-none-match", &tag)], None).await;
    // The transactions of others do not change the response.
    for _ in 0..3 {
        other.open_session().await?;
        poll().await?.expect(304)?;
    }
    caller.record_event(&session_path(&session), "custom_x", json!({})).await?.expect(201)?;
    let changed = poll().await?.expect(200)?;
    ensure!(ids(&changed)? == [id_of(&session)], "{changed:#}");
    Ok(())
}

/// A page that loses a response asks again with its old cursor.
#[tokio::test]
async fn repeated_poll_returns_the_same_changes_and_later_ones() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (first, second) = (caller.open_session().await?, caller.open_session().await?);
    let feed = Feed::new(&caller, "own").await?;
    let mut expected = Vec::new();
    for session in [&first, &second] {
        caller.record_event(&session_path(session), "custom_x", json!({})).await?.expect(201)?;
        expected.push(id_of(session));
        let found = ids(&caller.get(&feed.path()).await?.expect(200)?)?;
        ensure!(found == expected, "expected {expected:?}, found {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn cursor_of_another_database_and_too_many_changes_are_incomplete() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let mut feed = Feed::new(&caller, "own").await?;
    feed.cursor = URL_SAFE_NO_PAD.encode("1000000000000:1000000000000:");
    let restored = feed.poll().await?;
    ensure!(restored["incomplete"] == true && ids(&restored)?.is_empty(), "{restored:#}");
    let next = feed.poll().await?;
    ensure!(next["incomplete"] == false && next["counts"].is_null(), "{next:#}");

    caller.open_session().await?;
    feed.poll().await?;
    let insert = "
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider)
        select gen_random_uuid(), $1, $2, 'web', $3, 'openai_hosted' from generate_series(1, $4::integer)";
    // Other tests use the same server. While their transactions run, rows that were returned count.
    for (count, is_incomplete) in [(490, false), (501, true)] {
        let insert = sqlx::query(insert).bind(caller.user.org_id).bind(caller.user.id).bind(AGENT);
        insert.bind(count).execute(stack.database()).await?;
        let response = feed.poll().await?;
        ensure!(
            response["incomplete"] == is_incomplete && response["counts"].is_null() != is_incomplete,
            "{count} sessions: {}, {}",
            response["incomplete"],
            response["counts"]
        );
        let found = ids(&response)?.len();
        ensure!(is_incomplete || found == 490, "expected 490 sessions, found {found}");
    }
    let found = feed.poll_ids().await?;
    ensure!(found.is_empty(), "expected no changes, found {}", found.len());
    Ok(())
}

#[tokio::test]
async fn more_than_500_changed_escalations_are_incomplete() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.escalate_from_page(json!({})).await?;
    let mut feed = Feed::new(&fixture.approver, "own").await?;
    // Copies of the row. The copies do not have events, so foreign keys are not checked.
    let copy = "do $$
        declare
          v_columns text := (
            select string_agg(quote_ident(attname), ', ')
            from pg_attribute
            where attrelid = 'public.chat_escalations'::regclass
              and attnum > 0 and not attisdropped and attgenerated = ''
              and attname not in ('id', 'event_id', 'change_xid')
          );
        begin
          execute format(
            'insert into public.chat_escalations (id, event_id, %1$s)
             select gen_random_uuid(), gen_random_uuid(), %1$s
             from public.chat_escalations cross join generate_series(1, 501)', v_columns
          );
        end $$";
    let mut connection = stack.database().acquire().await?;
    for statement in ["set session_replication_role = replica", copy, "reset session_replication_role"] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    let response = feed.poll().await?;
    ensure!(
        response["incomplete"] == true && response["counts"]["open"] == 500,
        "expected an incomplete response with 500 open escalations, found {response:#}"
    );
    Ok(())
}
