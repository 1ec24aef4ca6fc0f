//! Sessions: who sees them, in which order they are listed, and what becomes of their secrets.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};

// NAME: sessions: pages hold every session once, newest activity first
#[tokio::test]
async fn pages() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened.push(caller.open().await?["id"].clone());
    }
    // All at one time: then the id decides.
    sqlx::query("update chat_sessions set last_activity_at = '2026-11-22T10:00:00.000001Z'")
        .execute(stack.database())
        .await?;
    let touched = opened.remove(2);
    caller
        .record(&path(&json!({ "id": touched })), "button_click", json!({ "action": "a" }))
        .await?
        .expect(201)?;
    opened.sort_by(|a, b| b.as_str().cmp(&a.as_str()));
    opened.insert(0, touched);

    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!("/chatkit/sessions?limit=3{cursor}")).await?.expect(200)?;
        listed.extend(
            page["sessions"].as_array().context("no sessions")?.iter().map(|session| session["id"].clone()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(listed == opened, "{listed:#?} instead of {opened:#?}");
    Ok(())
}

// NAME: sessions: an approver sees the organisation's, a member their own
#[tokio::test]
async fn scopes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    let approver = TestClient::joining(&stack, member.user.org_id, OrgRole::Approver).await?;
    let session = member.open().await?;
    approver.open().await?;
    let count = |list: &Value| list["sessions"].as_array().map_or(0, Vec::len);
    ensure!(count(&approver.get("/chatkit/sessions").await?.expect(200)?) == 1, "an approver's own");
    ensure!(count(&approver.get("/chatkit/sessions?scope=organisation").await?.expect(200)?) == 2);
    ensure!(approver.get(&path(&session)).await?.expect(200)?["id"] == session["id"]);
    member.get("/chatkit/sessions?scope=organisation").await?.problem(403, "scope_forbidden")?;
    // Reading is all that an approver may do with it.
    approver.cancel(&path(&session)).await?.problem(404, "session_not_found")?;
    Ok(())
}

// NAME: sessions: somebody else's is one that does not exist
#[tokio::test]
async fn somebody_elses() -> Result<()> {
    let stack = LocalStack::start().await?;
    let user = TestClient::new(&stack).await?;
    let session = user.open_path().await?;
    let colleague = TestClient::joining(&stack, user.user.org_id, OrgRole::Member).await?;
    let stranger = TestClient::new(&stack).await?;
    let owner_elsewhere = TestClient::joining(&stack, stranger.user.org_id, OrgRole::Owner).await?;
    let nowhere = format!("/chatkit/sessions/{}", Uuid::now_v7());
    for other in [&colleague, &stranger, &owner_elsewhere] {
        for attempt in ["read", "messages", "cancel", "events", "resume"] {
            let theirs = try_to(other, attempt, &session).await?.problem(404, "session_not_found")?;
            let nobodys = try_to(other, attempt, &nowhere).await?.problem(404, "session_not_found")?;
            ensure!(without_occurrence(theirs) == without_occurrence(nobodys), "{attempt} tells them apart");
        }
    }
    ensure!(user.get(&session).await?.expect(200)?["status"] == "active");
    Ok(())
}

async fn try_to(
    caller: &TestClient,
    attempt: &str,
    session: &str,
) -> Result<crate::support::client::TestResponse> {
    let id = session.rsplit('/').next();
    match attempt {
        "read" => caller.get(session).await,
        "messages" => caller.get(&format!("{session}/messages")).await,
        "cancel" => caller.cancel(session).await,
        "events" => caller.record(session, "button_click", json!({ "action": "a" })).await,
        _ => caller.post("/chatkit/sessions", json!({ "sessionId": id, "purpose": "resume" })).await,
    }
}

/// A problem less what names the occurrence.
fn without_occurrence(mut problem: Value) -> Value {
    for part in ["instance", "requestId"] {
        problem.as_object_mut().map(|fields| fields.remove(part));
    }
    problem
}

// NAME: sessions: only linked threads of the session's own user are shown
#[tokio::test]
async fn threads() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let (session, other) = (caller.open().await?, caller.open().await?);
    let stranger = TestClient::new(&stack).await?.open().await?;
    let say = async |session: &Value| -> Result<String> {
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        Ok(stack.openai().say(secret, None, "Hello").await?.thread_id)
    };
    let (mine, unlinked, theirs) = (say(&session).await?, say(&other).await?, say(&stranger).await?);
    // The page names three: the session's own, somebody else's, and one that does not exist. `unlinked` it does not name.
    for thread in [&mine, &theirs, &"cthr_none".to_owned()] {
        caller.record(&path(&session), "thread_changed", json!({ "threadId": thread })).await?.expect(201)?;
    }
    let shown = caller.get(&path(&session)).await?.expect(200)?;
    let ids: Vec<_> = shown["chatkit"]["threads"]
        .as_array()
        .context("no threads")?
        .iter()
        .map(|t| t["id"].clone())
        .collect();
    ensure!(ids == [json!(mine)], "{ids:?} instead of {mine} (unlinked {unlinked}, a stranger's {theirs})");
    Ok(())
}

// NAME: sessions: a secret is handed out again while it lives, and then another
#[tokio::test]
async fn secrets() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let renew = async || {
        caller
            .post("/chatkit/sessions", json!({ "sessionId": session["id"], "purpose": "refresh" }))
            .await?
            .expect(200)
    };
    ensure!(renew().await?["chatkit"] == session["chatkit"], "the live secret again");
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '100 seconds'")
        .execute(stack.database())
        .await?;
    let next = renew().await?;
    ensure!(
        next["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "a secret with 100 seconds to live is too old"
    );
    let creations = stack.openai().requests().into_iter().filter(|call| call.method == "POST").count();
    ensure!(creations == 2, "{creations} creations at OpenAI");
    Ok(())
}

// NAME: sessions: a secret whose sealing key is gone is replaced
#[tokio::test]
async fn sealing_key_gone() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    sqlx::query("update chatkit_sessions set sealing_key_id = 'retired'").execute(stack.database()).await?;
    let refresh = json!({ "sessionId": session["id"], "purpose": "refresh" });
    let next = caller.post("/chatkit/sessions", refresh).await?.expect(200)?;
    ensure!(
        next["chatkit"]["clientSecret"] != session["chatkit"]["clientSecret"],
        "it cannot have been opened"
    );
    let known: i64 =
        sqlx::query_scalar("select count(*) from chatkit_sessions where chatkit_session_id is not null")
            .fetch_one(stack.database())
            .await?;
    ensure!(known == 2 && stack.openai().sessions().len() == 2, "OpenAI has a session that no row knows");
    Ok(())
}

// NAME: sessions: a refresh is no sign of a person, a resume is
#[tokio::test]
async fn signs_of_life() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    let renew = async |purpose: &str| {
        let body = json!({ "sessionId": session["id"], "purpose": purpose });
        caller.post("/chatkit/sessions", body).await?.expect(200)
    };
    ensure!(
        renew("refresh").await?["lastActivityAt"] == session["lastActivityAt"],
        "a refresh counts as activity"
    );
    ensure!(
        renew("resume").await?["lastActivityAt"] != session["lastActivityAt"],
        "a resume does not count as activity"
    );
    Ok(())
}

// NAME: sessions: a renewal that contradicts the session is refused
#[tokio::test]
async fn contradictions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let session = caller.open().await?;
    for extra in [json!({ "agentId": "tax_compliance" }), json!({ "metadata": { "locale": "de" } })] {
        let mut body = json!({ "sessionId": session["id"], "purpose": "resume" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        caller.post("/chatkit/sessions", body).await?.problem(422, "session_mismatch")?;
    }
    let same = json!({ "sessionId": session["id"], "purpose": "resume", "agentId": AGENT, "metadata": {} });
    caller.post("/chatkit/sessions", same).await?.expect(200)?;
    Ok(())
}

// NAME: sessions: a member who was dismissed opens nothing with an old token
#[tokio::test]
async fn dismissed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    sqlx::query("update auth.users set raw_app_meta_data = '{}' where id = $1")
        .bind(caller.user.id)
        .execute(stack.database())
        .await?;
    caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.problem(403, "not_a_member")?;
    let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
    caller.post("/chatkit/sessions", resume).await?.problem(403, "not_a_member")?;
    Ok(())
}

// NAME: sessions: OpenAI is asked with the registry's workflow and an opaque user
#[tokio::test]
async fn what_openai_is_asked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    caller.open().await?;
    let elsewhere = TestClient::new(&stack).await?;
    elsewhere.open().await?;
    let bodies: Vec<Value> = stack.openai().requests().into_iter().filter_map(|call| call.json()).collect();
    let [first, second] = bodies.as_slice() else { anyhow::bail!("{} creations", bodies.len()) };
    ensure!(first["workflow"]["tracing"] == json!({ "enabled": false }), "tracing is off: {first}");
    ensure!(first["workflow"]["version"] == "1" && first["user"] != second["user"], "{first} {second}");
    for id in [caller.user.id, caller.user.org_id] {
        ensure!(!first.to_string().contains(&id.to_string()), "OpenAI is told an id of ours: {first}");
    }
    Ok(())
}
