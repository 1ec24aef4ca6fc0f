//! Secrets do not leak from valid or invalid requests.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::http;
use local_stack::supabase::Signer;
use serde_json::{Value, json};
use uuid::Uuid;

use super::leak_detector::LeakDetector;
use super::{event, opening, run_maintenance, with_trace_log};
use crate::support::client::{AGENT, TestClient, send_request, session_path};

#[tokio::test]
async fn valid_requests_and_maintenance_do_not_leak() -> Result<()> {
    let stack = with_trace_log().legacy_tokens(true).start().await?;
    let (mut detector, caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let secrets = detector.secret_count();
    ensure!(secrets == 4, "expected 4 secrets in the environment, found {secrets}");
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let opened = detector.send_with_key(&caller, "/chatkit/sessions", opening()).await?.expect(201)?;
    let session = session_path(&opened);
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no client secret")?;
    let message = stack.openai().post_message(secret, None, "Is invoice 42 paid?").await?;
    let events = format!("{session}/events");
    for event in [
        event("thread_changed", json!({ "threadId": message.thread_id })),
        event("button_click", json!({ "action": "approve" })),
        event("handover", json!({ "agentId": "tax_compliance" })),
        event("hitl_escalation", json!({ "reason": "Too much", "decisions": ["approve"] })),
    ] {
        detector.send_with_key(&caller, &events, event).await?.expect(201)?;
    }
    let list = detector.send(&caller, Method::GET, "/chatkit/escalations", None).await?.expect(200)?;
    let escalation = &list["escalations"][0];
    let id = escalation["id"].as_str().context("no escalation")?;
    let decision = json!({ "decision": "approve", "subjectHash": escalation["subjectHash"] });
    let decide = format!("/chatkit/escalations/{id}/decision");
    detector.send_with_key(&caller, &decide, Some(decision)).await?.expect(200)?;
    for purpose in ["resume", "refresh"] {
        let renewal = json!({ "sessionId": opened["id"], "purpose": purpose });
        detector.send_with_key(&caller, "/chatkit/sessions", Some(renewal)).await?.expect(200)?;
    }
    for path in
        [session.clone(), format!("{session}/messages"), "/chatkit/sessions".into(), "/chatkit/agents".into()]
    {
        detector.send(&caller, Method::GET, &path, None).await?.expect(200)?;
    }
    let sealed = "select count(*) from chatkit_sessions where sealed_secret is not null";
    let sealed: i64 = sqlx::query_scalar(sealed).fetch_one(stack.database()).await?;
    ensure!(sealed == 1, "expected 1 sealed secret to search, found {sealed}");
    let left_open = detector.send_with_key(&caller, "/chatkit/sessions", opening()).await?;
    ensure!(left_open.status == 201, "expected 201, found {left_open:?}");
    detector.send_with_key(&caller, &format!("{session}/cancel"), None).await?.expect(200)?;
    let idle = detector.send_with_key(&caller, "/chatkit/sessions", opening()).await?.expect(201)?;
    let idle_id: Uuid = idle["id"].as_str().context("no session id")?.parse()?;
    let make_idle = "update chat_sessions set last_activity_at = now() - interval '2 days' where id = $1";
    sqlx::query(make_idle).bind(idle_id).execute(stack.database()).await?;
    ensure!(run_maintenance(&stack, &mut detector).await, "the maintenance failed");
    let keys: i64 =
        sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(stack.database()).await?;
    ensure!(keys == 11, "expected 11 idempotency keys to search, found {keys}");
    detector.search(&stack).await?.expect_no_leaks()
}

#[tokio::test]
async fn invalid_tokens_bodies_and_keys_do_not_leak() -> Result<()> {
    let stack = with_trace_log().legacy_tokens(true).start().await?;
    let (mut detector, mut caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let opened = detector.send(&caller, Method::POST, "/chatkit/sessions", opening()).await?.expect(201)?;
    let (session, token) = (session_path(&opened), caller.token.clone());
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no client secret")?;
    for misplaced in [secret, token.as_str()] {
        for (path, body) in bodies_with(misplaced, &session) {
            detector.send(&caller, Method::POST, &path, Some(body)).await?.problem(422, "invalid_request")?;
        }
    }
    for parameter in ["status", "agentId", "limit", "cursor"] {
        let path = format!("/chatkit/sessions?{parameter}={token}");
        let response = detector.send(&caller, Method::GET, &path, None).await?;
        ensure!(response.status.is_client_error(), "{parameter}: expected 4xx, found {response:?}");
    }
    send_invalid_idempotency_keys(&mut detector, &caller).await?;

    let forge = || stack.issuer().token_builder(&caller.user);
    let invalid_tokens = [
        forge().signed_by(Signer::Unsigned).sign(),
        forge().signed_by(Signer::ForeignKey).sign(),
        forge().signed_by(Signer::UnknownKey).sign(),
        forge().signed_by(Signer::Hs256).tampered().sign(),
        forge().expired(60).sign(),
        forge().claim("sub", token.as_str()).sign(),
        forge().claim("role", token.as_str()).sign(),
        forge().claim("exp", token.as_str()).sign(),
        forge().without("app_metadata").sign(),
        forge().header("kid", token.as_str()).sign(),
        stack.supabase().legacy_service_key().to_owned(),
        stack.supabase().secret_key().to_owned(),
    ];
    for token in invalid_tokens {
        caller.token = token;
        for (method, body) in [(Method::GET, None), (Method::POST, opening())] {
            let response = detector.send(&caller, method, "/chatkit/sessions", body).await?;
            ensure!(response.status.is_client_error(), "expected 4xx, found {response:?}");
        }
    }
    // An invalid host: a library that parses Lambda events panics and quotes the request.
    let request = http::client().get(format!("{}{session}", stack.function_url("get-session")));
    let request = request.header("host", "a b").bearer_auth(&token);
    detector.record_response(&send_request(request).await?);
    detector.search(&stack).await?.expect_no_leaks()
}

/// Requests of a page that sends a secret in the wrong field.
fn bodies_with(secret: &str, session: &str) -> Vec<(String, Value)> {
    let events = format!("{session}/events");
    let decision = format!("/chatkit/escalations/{}/decision", Uuid::new_v4());
    let hash = "0".repeat(64);
    let rows = [
        (decision.as_str(), json!({ "decision": secret, "subjectHash": hash })),
        (&decision, json!({ "decision": "approve", "subjectHash": secret })),
        ("/chatkit/sessions", json!({ "agentId": secret })),
        ("/chatkit/sessions", json!({ "agentId": AGENT, "channel": secret })),
        ("/chatkit/sessions", json!({ "agentId": AGENT, "metadata": secret })),
        ("/chatkit/sessions", json!({ "sessionId": secret, "purpose": "resume" })),
        ("/chatkit/sessions", json!(secret)),
        (&events, json!({ "id": secret, "type": "button_click" })),
        (&events, json!({ "id": Uuid::new_v4(), "type": secret })),
        (&events, json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": secret })),
        (&events, json!({ "id": Uuid::new_v4(), "type": "custom_x", "occurredAt": secret })),
        (&events, json!({ "id": Uuid::new_v4(), "type": "feedback", "payload": { "rating": secret } })),
        (&events, json!([secret])),
    ];
    rows.into_iter().map(|(path, body)| (path.to_owned(), body)).collect()
}

/// A key that was used for another request, and keys that are malformed.
async fn send_invalid_idempotency_keys(detector: &mut LeakDetector, caller: &TestClient) -> Result<()> {
    let key = format!("key_{}", Uuid::new_v4().simple());
    detector.add_idempotency_key(&key);
    let headers = [("idempotency-key", key.as_str())];
    let first =
        detector.send_with_headers(caller, Method::POST, "/chatkit/sessions", &headers, opening()).await?;
    first.expect(201)?;
    let other = Some(json!({ "agentId": "tax_compliance" }));
    let reused =
        detector.send_with_headers(caller, Method::POST, "/chatkit/sessions", &headers, other).await?;
    reused.problem(422, "idempotency_key_reused")?;
    let with_space = format!("two words {}", caller.token);
    for malformed in [caller.token.as_str(), &with_space] {
        let headers = [("idempotency-key", malformed)];
        let response = detector
            .send_with_headers(caller, Method::POST, "/chatkit/sessions", &headers, opening())
            .await?;
        response.problem(400, "invalid_idempotency_key")?;
    }
    Ok(())
}
