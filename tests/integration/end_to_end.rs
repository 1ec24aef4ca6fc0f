//! The lifecycle of a session, at the API's base URL and at the function URLs.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, Signer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn session_lifecycle_at_the_api_base_url() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    check_session_lifecycle(&stack, &caller, |_| caller.with_base_url(stack.api_url())).await
}

#[tokio::test]
async fn session_lifecycle_at_function_urls() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    check_session_lifecycle(&stack, &caller, |function| caller.with_base_url(stack.function_url(function)))
        .await
}

#[tokio::test]
async fn session_lifecycle_with_legacy_keys_and_tokens() -> Result<()> {
    let stack = LocalStack::builder().legacy_keys(true).legacy_tokens(true).start().await?;
    let mut caller = TestClient::new(&stack).await?;
    caller.token = stack.issuer().token_builder(&caller.user).signed_by(Signer::Hs256).sign();
    check_session_lifecycle(&stack, &caller, |_| caller.with_base_url(stack.api_url())).await
}

#[tokio::test]
async fn session_without_chatkit_has_no_secret() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    ensure!(session.get("chatkit") == Some(&Value::Null), "{session}");
    let shown = caller.get(&session_path(&session)).await?.expect(200)?;
    ensure!(shown.get("chatkit") == Some(&Value::Null), "{shown}");
    let resumed = caller
        .post("/chatkit/sessions", json!({ "sessionId": session["id"], "purpose": "resume" }))
        .await?
        .expect(200)?;
    ensure!(resumed["chatkit"].is_null(), "{resumed}");
    caller.cancel(&session_path(&session)).await?.expect(200)?;
    ensure!(stack.openai().requests().is_empty(), "OpenAI received a request");
    Ok(())
}

#[tokio::test]
async fn messages_and_tasks_of_an_agent_are_returned() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let arguments_with = |rest: Value| {
        let mut arguments = json!({ "p_org_id": caller.user.org_id, "p_session_id": session["id"] });
        arguments.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        arguments
    };
    let messages: Vec<Value> = (1..=5)
        .map(|n| json!({ "id": Uuid::new_v4(), "role": if n % 2 == 1 { "user" } else { "agent" }, "content": format!("line {n}") }))
        .collect();
    let (status, answer) =
        stack.rpc("record_messages", arguments_with(json!({ "p_messages": messages }))).await?;
    ensure!(status.is_success(), "{answer}");
    let tasks =
        json!([{ "id": "pay-42", "title": "Pay invoice 42", "status": "blocked", "requires_hitl": true }]);
    let (status, answer) = stack.rpc("record_tasks", arguments_with(json!({ "p_tasks": tasks }))).await?;
    ensure!(status.is_success(), "{answer}");

    let shown = caller.get(&session_path(&session)).await?.expect(200)?;
    ensure!(
        shown["tasks"][0]["requiresHitl"] == true && shown["tasks"][0]["status"] == "blocked",
        "{shown:#}"
    );
    let mut lines = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            caller.get(&format!("{}/messages?limit=2{cursor}", session_path(&session))).await?.expect(200)?;
        lines.extend(
            page["messages"]
                .as_array()
                .context("no messages")?
                .iter()
                .map(|message| message["content"].clone()),
        );
        // A list that repeats a row may have no last page.
        ensure!(lines.len() <= 5, "expected 5 messages, found more: {lines:?}");
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(lines == ["line 1", "line 2", "line 3", "line 4", "line 5"], "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn list_agents_returns_agents_that_the_role_may_open() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    let owner = TestClient::in_organisation(&stack, member.user.org_id, OrgRole::Owner).await?;
    let only_owners = json!({
        "p_org_id": member.user.org_id, "p_agent_id": "cfo_strategy", "p_display_name": "CFO strategy",
        "p_description": "Plans", "p_chatkit_workflow_id": "wf_x", "p_allowed_org_roles": ["owner"],
    });
    stack.rpc("register_agent", only_owners).await?;
    let ids = |list: &Value| -> Vec<String> {
        let agents = list["agents"].as_array().into_iter().flatten();
        agents.map(|agent| agent["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    ensure!(ids(&member.get("/chatkit/agents").await?.expect(200)?) == [AGENT]);
    ensure!(ids(&owner.get("/chatkit/agents").await?.expect(200)?) == [AGENT, "cfo_strategy"]);
    let forbidden = member.post("/chatkit/sessions", json!({ "agentId": "cfo_strategy" })).await?;
    forbidden.problem(403, "agent_forbidden")?;
    let unknown = member.post("/chatkit/sessions", json!({ "agentId": "unknown" })).await?;
    unknown.problem(422, "agent_unavailable")?;
    Ok(())
}

/// Opens, uses, reads and ends a session. `at` returns the client that calls a function.
pub async fn check_session_lifecycle(
    stack: &LocalStack,
    caller: &TestClient,
    at: impl Fn(&str) -> TestClient,
) -> Result<()> {
    let body = json!({ "agentId": AGENT, "channel": "voice", "metadata": { "locale": "en", "nested": { "a": [1, null] } } });
    let opened = at("create-session").post("/chatkit/sessions", body).await?;
    ensure!(
        opened.headers["cache-control"] == "no-store",
        "a cache may store the secret: {:?}",
        opened.headers
    );
    let session = opened.expect(201)?;
    ensure!(
        session["status"] == "active" && session["channel"] == "voice" && session["agentId"] == AGENT,
        "{session}"
    );
    ensure!(session["metadata"] == json!({ "locale": "en", "nested": { "a": [1, null] } }), "{session}");
    ensure!(session["userId"] == caller.user.id.to_string() && session["endedAt"].is_null(), "{session}");
    let id = session["id"].as_str().context("no id")?.parse::<Uuid>()?;
    ensure!(id.get_version_num() == 7, "the id is not a UUID of version 7: {id}");
    let session_path = session_path(&session);
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?.to_owned();

    // The user sends a message to ChatKit with the secret, and the page links the thread.
    let message = stack.openai().post_message(&secret, None, "Is invoice 42 paid?").await?;
    at("record-events")
        .record_event(&session_path, "thread_changed", json!({ "threadId": message.thread_id }))
        .await?
        .expect(201)?;
    let clicked = at("record-events")
        .record_event(&session_path, "button_click", json!({ "action": "approve" }))
        .await?
        .expect(201)?;
    let event = &clicked["events"][0];
    ensure!(
        event["seq"] == 2 && event["actorType"] == "user" && event["actorId"] == caller.user.id.to_string(),
        "{event}"
    );

    // A second device reads and resumes the session.
    let read = at("get-session").get(&session_path).await?;
    let etag = read.headers["etag"].to_str()?.to_owned();
    let shown = read.expect(200)?;
    ensure!(
        shown["chatkit"]["available"] == true && shown["chatkit"]["threads"][0]["id"] == message.thread_id,
        "{shown:#}"
    );
    ensure!(event_types(&shown) == ["thread_changed", "button_click"], "{shown:#}");
    let unchanged = at("get-session")
        .send(http_client::Method::GET, &session_path, &[("if-none-match", &etag)], None)
        .await?;
    ensure!(
        unchanged.status == 304 && unchanged.body.is_null() && unchanged.headers["etag"] == etag,
        "{unchanged:?}"
    );
    let resumed = at("create-session")
        .post("/chatkit/sessions", json!({ "sessionId": id, "purpose": "resume" }))
        .await?
        .expect(200)?;
    ensure!(
        resumed["id"] == session["id"] && resumed["chatkit"]["clientSecret"] == secret.as_str(),
        "the valid secret was not returned again"
    );

    let list = at("list-sessions")
        .get("/chatkit/sessions?status=active&agentId=accounts_payable")
        .await?
        .expect(200)?;
    ensure!(
        list["sessions"].as_array().is_some_and(|all| all.len() == 1) && list["nextCursor"].is_null(),
        "{list:#}"
    );

    let ended = at("cancel-session").cancel(&session_path).await?.expect(200)?;
    ensure!(ended["status"] == "ended" && ended["endReason"] == "cancelled", "{ended:#}");
    ensure!(
        at("cancel-session").cancel(&session_path).await?.expect(200)? == ended,
        "the repeated cancellation returned another response"
    );
    ensure!(stack.openai().post_message(&secret, None, "Hello?").await.is_err(), "the secret is still valid");
    let late =
        at("record-events").record_event(&session_path, "button_click", json!({ "action": "late" })).await?;
    late.problem(409, "session_ended")?;
    let refreshed = at("create-session")
        .post("/chatkit/sessions", json!({ "sessionId": id, "purpose": "refresh" }))
        .await?;
    refreshed.problem(409, "session_ended")?;

    let shown = at("get-session").get(&session_path).await?.expect(200)?;
    let last = &shown["events"][2];
    ensure!(
        last["type"] == "session_ended" && last["payload"]["reason"] == "cancelled",
        "no event of the end: {shown:#}"
    );
    Ok(())
}

fn event_types(session: &Value) -> Vec<&str> {
    session["events"].as_array().into_iter().flatten().filter_map(|event| event["type"].as_str()).collect()
}
