//! `GET /chatkit/sessions/{id}/events`: order, pages and readers.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::TestClient;

#[tokio::test]
async fn pages_return_each_event_once_in_both_orders() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.open_session_path().await?;
    for n in 0..23 {
        caller.record_event(&session, "custom_step", json!({ "n": n })).await?.expect(201)?;
    }
    let mut expected: Vec<i64> = (1..=23).collect();
    for sort in ["", "sort=oldest&", "sort=newest&"] {
        if sort == "sort=newest&" {
            expected.reverse();
        }
        for limit in ["limit=1", "limit=7", "limit=100", "limit=23"] {
            let mut found = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("{session}/events?{sort}{limit}{cursor}");
                let page = caller.get(&path).await?.expect(200)?;
                let events = page["events"].as_array().context("no events")?;
                found.extend(events.iter().filter_map(|event| event["seq"].as_i64()));
                ensure!(found.len() <= 23, "{path}: a page repeats events: {found:?}");
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            ensure!(found == expected, "{sort}{limit}: expected {expected:?}, found {found:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn event_is_the_one_of_the_session_details() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    caller.record_event(&session, "button_click", json!({ "action": "a" })).await?.expect(201)?;
    let details = caller.get(&format!("{session}?include=none")).await?.expect(200)?;
    let page = caller.get(&format!("{session}/events")).await?.expect(200)?;
    ensure!(page["events"] == details["events"], "expected {details:#}, found {page:#}");
    Ok(())
}

#[tokio::test]
async fn only_user_and_approvers_read_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    let events = format!("{}/events", user.open_session_path().await?);
    for (role, status) in [(OrgRole::Member, 404), (OrgRole::Approver, 200), (OrgRole::Owner, 200)] {
        let colleague = TestClient::in_organisation(&stack, user.user.org_id, role).await?;
        colleague.get(&events).await?.expect(status).with_context(|| format!("{role:?}"))?;
    }
    let stranger = TestClient::new(&stack).await?;
    stranger.get(&events).await?.problem(404, "session_not_found")?;
    Ok(())
}

/// A page ends before its rows exceed 1 MiB.
#[tokio::test]
async fn page_of_large_events_is_limited_in_bytes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let payload = json!({ "text": "x".repeat(16_000) });
    for _ in 0..6 {
        let event = |_| json!({ "id": uuid::Uuid::new_v4(), "type": "custom_large", "payload": payload });
        let events: Vec<Value> = (0..15).map(event).collect();
        caller.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let page = caller.get(&format!("{session}/events?limit=100")).await?.expect(200)?;
    let count = page["events"].as_array().map_or(0, Vec::len);
    ensure!((50..90).contains(&count) && page["nextCursor"].is_string(), "found {count} events of 90");
    Ok(())
}
