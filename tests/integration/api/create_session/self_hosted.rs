//! Sessions of self-hosted agents: the function issues their client secrets itself.

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse, session_path};

/// The self-hosted agent of the tests.
pub const OWN: &str = "own_agent";

/// A member of an organisation with a hosted and a self-hosted agent.
pub async fn member(stack: &LocalStack) -> Result<TestClient> {
    let caller = TestClient::new(stack).await?;
    stack.register_self_hosted_agent(caller.user.org_id, OWN, json!({})).await?;
    Ok(caller)
}

pub async fn open(caller: &TestClient, agent_id: &str) -> Result<Value> {
    caller.post("/chatkit/sessions", json!({ "agentId": agent_id })).await?.expect(201)
}

pub async fn renew(caller: &TestClient, session: &Value, purpose: &str) -> Result<Value> {
    let body = json!({ "sessionId": session["id"], "purpose": purpose });
    caller.post("/chatkit/sessions", body).await?.expect(200)
}

pub fn secret(session: &Value) -> Result<&str> {
    session["chatkit"]["clientSecret"].as_str().with_context(|| format!("no client secret: {session:#}"))
}

/// Returns the session that a client secret opens, or the code of the error.
pub async fn session_of_secret(
    stack: &LocalStack,
    client_secret: &str,
) -> Result<std::result::Result<Uuid, String>> {
    let query = "select (chatkit_private.chat_session_of_secret(
        encode(sha256(convert_to($1, 'UTF8')), 'hex'))).id";
    match sqlx::query_scalar(query).bind(client_secret).fetch_one(stack.database()).await {
        Ok(id) => Ok(Ok(id)),
        Err(sqlx::Error::Database(error)) => Ok(Err(error.message().to_owned())),
        Err(error) => Err(error.into()),
    }
}

pub async fn expect_usable(stack: &LocalStack, session: &Value) -> Result<()> {
    let found = session_of_secret(stack, secret(session)?).await?;
    let expected: Uuid = session["id"].as_str().context("no session id")?.parse()?;
    ensure!(found == Ok(expected), "expected the session {expected}, found {found:?}");
    Ok(())
}

pub async fn expect_rejected(stack: &LocalStack, session: &Value, code: &str) -> Result<()> {
    let found = session_of_secret(stack, secret(session)?).await?;
    ensure!(found == Err(code.to_owned()), "expected {code}, found {found:?}");
    Ok(())
}

pub fn expect_no_request_to_openai(stack: &LocalStack) -> Result<()> {
    let requests = stack.openai().requests();
    ensure!(requests.is_empty(), "expected no request to OpenAI, found {requests:#?}");
    Ok(())
}

#[tokio::test]
async fn self_hosted_session_gets_a_secret_of_its_own() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let start_screen = json!({
        "greeting": "How can I help?",
        "prompts": [{ "label": "VAT", "prompt": "Check the VAT of invoice 42", "icon": "search" }],
    });
    let settings = json!({ "p_start_screen": start_screen });
    stack.register_self_hosted_agent(caller.user.org_id, OWN, settings).await?;
    let session = open(&caller, OWN).await?;
    let chatkit = &session["chatkit"];
    let environment = stack.environment().all_variables();
    for (field, expected) in [
        ("provider", json!("self_hosted")),
        ("apiUrl", json!(environment["CHATKIT_API_URL"])),
        ("domainKey", json!(environment["CHATKIT_DOMAIN_KEY"])),
        ("startScreen", start_screen),
    ] {
        ensure!(chatkit[field] == expected, "expected {field} {expected}, found {chatkit:#}");
    }
    // 256 bits in base64url have 43 characters.
    let key = secret(&session)?.strip_prefix("ek_").context("no prefix")?;
    ensure!(key.len() == 43, "expected 43 characters, found {}", key.len());
    let time = |field: &str| -> Result<jiff::Timestamp> {
        Ok(chatkit[field].as_str().with_context(|| format!("no {field}"))?.parse()?)
    };
    let life = time("expiresAt")?.duration_since(session["createdAt"].as_str().context("no time")?.parse()?);
    ensure!((595..=605).contains(&life.as_secs()), "expected ten minutes, found {life:?}");
    let margin = time("expiresAt")?.duration_since(time("refreshAfter")?);
    ensure!(margin.as_secs() == 60, "expected a minute, found {margin:?}");
    expect_usable(&stack, &session).await?;
    let unknown = session_of_secret(&stack, &format!("{}x", secret(&session)?)).await?;
    ensure!(unknown == Err("client_secret_rejected".to_owned()), "{unknown:?}");
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn hosted_session_is_still_hosted_beside_a_self_hosted_one() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, AGENT).await?;
    let chatkit = session["chatkit"].as_object().context("no chatkit")?;
    ensure!(chatkit["provider"] == "openai_hosted" && !chatkit.contains_key("apiUrl"), "{session:#}");
    let at_openai = stack.openai().sessions();
    ensure!(at_openai.len() == 1 && chatkit["sessionId"] == at_openai[0].id, "{session:#}");
    expect_rejected(&stack, &session, "client_secret_rejected").await
}

#[tokio::test]
async fn resume_and_refresh_return_the_live_secret_until_it_nears_expiry() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    for purpose in ["resume", "refresh"] {
        let renewed = renew(&caller, &session, purpose).await?;
        ensure!(
            renewed["chatkit"] == session["chatkit"],
            "{purpose}: expected {session:#}, found {renewed:#}"
        );
    }
    set_life(&stack, 100).await?;
    let renewed = renew(&caller, &session, "refresh").await?;
    ensure!(renewed["chatkit"] != session["chatkit"], "the secret that expires in 100 s was returned");
    // Both work until the first one expires, because a stream may still use it.
    expect_usable(&stack, &session).await?;
    expect_usable(&stack, &renewed).await?;
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn eight_concurrent_refreshes_share_one_new_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    set_life(&stack, 60).await?;
    let body = json!({ "sessionId": session["id"], "purpose": "refresh" });
    let secrets = try_join_all((0..8).map(async |_| -> Result<Value> {
        loop {
            let response = caller.post("/chatkit/sessions", body.clone()).await?;
            if response.status != 409 {
                return Ok(response.expect(200)?["chatkit"].clone());
            }
            response.problem(409, "still_running")?;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }))
    .await?;
    ensure!(
        secrets.iter().all(|secret| *secret == secrets[0] && *secret != session["chatkit"]),
        "expected one new secret, found {secrets:#?}"
    );
    let recorded = count(&stack, "select count(*) from chatkit_sessions").await?;
    ensure!(recorded == 2, "expected 2 ChatKit sessions, found {recorded}");
    Ok(())
}

#[tokio::test]
async fn rejected_secret_is_replaced_and_useless_at_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let body = json!({ "sessionId": session["id"], "purpose": "refresh", "rejected": true });
    let renewed = caller.post("/chatkit/sessions", body.clone()).await?.expect(200)?;
    ensure!(renewed["chatkit"] != session["chatkit"], "the rejected secret was returned");
    expect_rejected(&stack, &session, "client_secret_rejected").await?;
    expect_usable(&stack, &renewed).await?;
    let shared = caller.post("/chatkit/sessions", body).await?.expect(200)?;
    ensure!(shared["chatkit"] == renewed["chatkit"], "expected {renewed:#}, found {shared:#}");
    stack.run_job("expire-sessions").await?;
    expect_no_request_to_openai(&stack)
}

#[tokio::test]
async fn replay_of_an_idempotency_key_returns_the_same_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let send = async || -> Result<TestResponse> {
        let body = json!({ "agentId": OWN });
        let response = loop {
            let headers = [("idempotency-key", "one-session")];
            let response =
                caller.send(Method::POST, "/chatkit/sessions", &headers, Some(body.clone())).await?;
            if response.status != 409 {
                break response;
            }
            response.problem(409, "still_running")?;
        };
        Ok(response)
    };
    let responses = try_join_all((0..8).map(|_| send())).await?;
    let first = &responses[0].body;
    ensure!(
        responses.iter().all(
            |response| response.body["id"] == first["id"] && response.body["chatkit"] == first["chatkit"]
        ),
        "expected one session with one secret, found {responses:#?}"
    );
    let created = responses.iter().filter(|response| response.status == 201).count();
    ensure!(created == 1, "expected one 201, found {created}");
    let recorded = count(&stack, "select count(*) from chatkit_sessions").await?;
    ensure!(recorded == 1, "expected 1 ChatKit session, found {recorded}");
    expect_usable(&stack, first).await
}

#[tokio::test]
async fn voice_session_of_a_self_hosted_agent_returns_422() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let body = json!({ "agentId": OWN, "channel": "voice" });
    caller.post("/chatkit/sessions", body).await?.problem(422, "channel_unavailable")?;
    let sessions = count(&stack, "select count(*) from chat_sessions").await?;
    ensure!(sessions == 0, "expected no session, found {sessions}");
    let hosted = json!({ "agentId": AGENT, "channel": "voice" });
    caller.post("/chatkit/sessions", hosted).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn change_of_the_registration_applies_to_the_next_session_only() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let org_id = caller.user.org_id;
    let old = json!({ "p_model": "old", "p_instructions": "Be brief", "p_max_turn_seconds": 60,
                      "p_start_screen": { "greeting": "Old" } });
    stack.register_self_hosted_agent(org_id, OWN, old).await?;
    let before = open(&caller, OWN).await?;
    let new = json!({ "p_model": "new", "p_reasoning_effort": "low", "p_max_output_tokens": 500,
                      "p_start_screen": { "greeting": "New" } });
    stack.register_self_hosted_agent(org_id, OWN, new).await?;
    let after = open(&caller, OWN).await?;
    let resumed = renew(&caller, &before, "resume").await?;
    ensure!(resumed["chatkit"]["startScreen"] == json!({ "greeting": "Old" }), "{resumed:#}");
    for (session, expected) in [
        (&before, json!(["old", "Be brief", null, 100_000, 4096, 60, "own_agent"])),
        (&after, json!(["new", "", "low", 100_000, 500, 300, "own_agent"])),
    ] {
        let settings = settings(&stack, session).await?;
        ensure!(settings == expected, "expected {expected}, found {settings}");
    }
    Ok(())
}

/// Hosted sessions end with their workflow. Self-hosted ones continue with the settings they have.
#[tokio::test]
async fn agent_that_changes_its_provider_keeps_that_of_its_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let org_id = caller.user.org_id;
    let (hosted, own) = (open(&caller, AGENT).await?, open(&caller, OWN).await?);
    stack.register_self_hosted_agent(org_id, AGENT, json!({})).await?;
    stack.register_agent(org_id, OWN, "Own").await?;
    let resumed = renew(&caller, &own, "resume").await?;
    ensure!(resumed["chatkit"] == own["chatkit"], "expected {own:#}, found {resumed:#}");
    expect_usable(&stack, &own).await?;
    let resume = json!({ "sessionId": hosted["id"], "purpose": "resume" });
    caller.post("/chatkit/sessions", resume).await?.problem(409, "provider_changed")?;
    let cancelled = caller.cancel(&session_path(&hosted)).await?.expect(200)?;
    ensure!(cancelled["status"] == "ended", "{cancelled:#}");
    let next = open(&caller, AGENT).await?;
    ensure!(next["chatkit"]["provider"] == "self_hosted", "{next:#}");
    Ok(())
}

#[tokio::test]
async fn session_of_a_provider_that_is_not_configured_gets_no_secret() -> Result<()> {
    for (variable, with_secret, without) in
        [("CHATKIT_API_URL", AGENT, OWN), ("OPENAI_CHATKIT_SECRET", OWN, AGENT)]
    {
        let stack = LocalStack::builder().env(variable, "").start().await?;
        let caller = member(&stack).await?;
        let session = open(&caller, without).await?;
        ensure!(session["chatkit"].is_null(), "{variable}: expected null, found {session:#}");
        let renewed = renew(&caller, &session, "refresh").await?;
        ensure!(renewed["chatkit"].is_null(), "{variable}: expected null, found {renewed:#}");
        let requests = count(&stack, "select count(*) from chatkit_sessions").await?;
        ensure!(requests == 0, "{variable}: expected no request, found {requests}");
        secret(&open(&caller, with_secret).await?)?;
    }
    Ok(())
}

#[tokio::test]
async fn get_session_reads_no_threads_of_a_self_hosted_session_from_openai() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = member(&stack).await?;
    let session = open(&caller, OWN).await?;
    let path = session_path(&session);
    let linked = json!({ "threadId": "cthr_of_somebody" });
    caller.record_event(&path, "thread_changed", linked).await?.expect(201)?;
    let read = caller.get(&path).await?;
    ensure!(!read.headers.contains_key("ratelimit"), "the read is charged: {:?}", read.headers);
    let read = read.expect(200)?;
    ensure!(read["chatkit"] == json!({ "available": true, "threads": [] }), "{read:#}");
    let read = caller.get(&format!("{path}?include=none")).await?.expect(200)?;
    ensure!(read["chatkit"].is_null(), "{read:#}");
    let links = count(&stack, "select count(*) from chatkit_threads").await?;
    ensure!(links == 0, "expected no link to a thread at OpenAI, found {links}");
    let approver = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Approver).await?;
    approver.get(&path).await?.expect(200)?;
    expect_no_request_to_openai(&stack)
}

/// Sets the remaining life of all secrets.
pub async fn set_life(stack: &LocalStack, seconds: i32) -> Result<()> {
    sqlx::query("update chatkit_sessions set expires_at = now() + make_interval(secs => $1)")
        .bind(f64::from(seconds))
        .execute(stack.database())
        .await?;
    Ok(())
}

pub async fn count(stack: &LocalStack, query: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(stack.database()).await?)
}

/// Returns the copied model settings of a session.
pub async fn settings(stack: &LocalStack, session: &Value) -> Result<Value> {
    let query = "select jsonb_build_array(model, instructions, reasoning_effort, max_input_tokens,
            max_output_tokens, max_turn_seconds, agent_id)
        from session_model_settings where session_id = $1";
    let id: Uuid = session["id"].as_str().context("no session id")?.parse()?;
    let settings = sqlx::query_scalar(query).bind(id).fetch_optional(stack.database()).await?;
    settings.ok_or_else(|| anyhow!("the session {id} has no model settings"))
}
