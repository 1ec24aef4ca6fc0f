//! `GET /chatkit/sessions`: order, pages and scopes.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;

use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn pages_return_each_session_once_newest_activity_first() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(caller.open_session().await?["id"].clone());
    }
    // With equal times of activity, the id decides.
    sqlx::query("update chat_sessions set last_activity_at = '2026-11-22T10:00:00.000001Z'")
        .execute(stack.database())
        .await?;
    let newest = expected.remove(2);
    caller
        .record_event(&session_path(&json!({ "id": newest })), "button_click", json!({ "action": "a" }))
        .await?
        .expect(201)?;
    expected.sort_by(|a, b| b.as_str().cmp(&a.as_str()));
    expected.insert(0, newest);

    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!("/chatkit/sessions?limit=3{cursor}")).await?.expect(200)?;
        let sessions = page["sessions"].as_array().context("the response has no list of sessions")?;
        listed.extend(sessions.iter().map(|session| session["id"].clone()));
        // A list that repeats a row may have no last page.
        ensure!(listed.len() <= expected.len(), "expected {expected:#?}, found {listed:#?} and more");
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(listed == expected, "expected {expected:#?}, found {listed:#?}");
    Ok(())
}

#[tokio::test]
async fn organisation_scope_requires_approver() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    let approver = TestClient::in_organisation(&stack, member.user.org_id, OrgRole::Approver).await?;
    let session = member.open_session().await?;
    approver.open_session().await?;
    for (query, expected) in [("", 1), ("?scope=organisation", 2)] {
        let list = approver.get(&format!("/chatkit/sessions{query}")).await?.expect(200)?;
        let count = list["sessions"].as_array().map_or(0, Vec::len);
        ensure!(count == expected, "{query}: expected {expected} sessions, found {count}");
    }
    let read = approver.get(&session_path(&session)).await?.expect(200)?;
    ensure!(read["id"] == session["id"], "expected {}, found {}", session["id"], read["id"]);
    member.get("/chatkit/sessions?scope=organisation").await?.problem(403, "scope_forbidden")?;
    // An approver may only read the session.
    approver.cancel(&session_path(&session)).await?.problem(404, "session_not_found")?;
    Ok(())
}
