//! Secrets do not leak if OpenAI or Supabase fails, or returns what it received.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::{Fault, Operation};
use local_stack::supabase;
use serde_json::json;
use uuid::Uuid;

use super::echo_server::{EchoMode, EchoServer};
use super::leak_detector::LeakDetector;
use super::{event, opening, run_maintenance, with_trace_log};
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn failing_upstreams_do_not_leak() -> Result<()> {
    let stack = with_trace_log().start().await?;
    let (mut detector, caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let key =
        stack.environment().all_variables().remove("OPENAI_CHATKIT_SECRET").context("no key of OpenAI")?;
    let opened = detector.send(&caller, Method::POST, "/chatkit/sessions", opening()).await?.expect(201)?;
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no client secret")?;
    let session = session_path(&opened);
    let errors = [401, 403, 404, 400, 429, 500].map(|status| Fault::everywhere().status(status).code(&key));
    let wrong_type = json!({ "id": "cksess_1", "client_secret": secret, "expires_at": secret });
    let others = [
        Fault::everywhere().html_body(),
        Fault::everywhere().cut_body(),
        Fault::everywhere().reset_after(),
        Fault::new(Operation::CreateSession).body(wrong_type),
        Fault::everywhere()
            .body(json!({ "id": secret, "client_secret": { "value": secret }, "data": secret })),
    ];
    for fault in errors.into_iter().chain(others) {
        stack.openai().clear_faults();
        stack.openai().add_fault(fault);
        let response = detector.send(&caller, Method::POST, "/chatkit/sessions", opening()).await?;
        ensure!(response.status.is_server_error(), "expected 5xx, found {response:?}");
        detector.send(&caller, Method::GET, &session, None).await?.expect(200)?;
    }
    detector.send(&caller, Method::POST, &format!("{session}/cancel"), None).await?.expect(200)?;
    stack.openai().clear_faults();
    for fault in [supabase::Fault::Unavailable, supabase::Fault::Down] {
        stack.supabase().set_fault(fault.clone()).await;
        for (method, path, body) in [
            (Method::POST, "/chatkit/sessions", opening()),
            (Method::GET, session.as_str(), None),
            (Method::GET, "/chatkit/agents", None),
        ] {
            let response = detector.send(&caller, method, path, body).await?;
            ensure!(response.status == 503, "{fault:?}: expected 503, found {response:?}");
        }
        ensure!(!run_maintenance(&stack, &mut detector).await, "{fault:?}: the maintenance succeeded");
    }
    stack.supabase().set_fault(supabase::Fault::None).await;
    detector.search(&stack).await?.expect_no_leaks()
}

#[tokio::test]
async fn echoing_openai_does_not_leak() -> Result<()> {
    let openai = EchoServer::start().await?;
    let stack = with_trace_log().env("OPENAI_CHATKIT_BASE_URL", &openai.url()).start().await?;
    let (mut detector, caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let expires_at = jiff::Timestamp::now().as_second() + 600;
    let secret = format!("ek_{}", Uuid::new_v4().simple());
    detector.add("the client secret of the echo server", &secret);
    for (number, mode) in EchoMode::all().into_iter().enumerate() {
        let id = format!("cksess_{number}");
        let valid = json!({ "id": id, "client_secret": secret, "expires_at": expires_at });
        openai.set_mode(EchoMode::Fixed(valid));
        let opened =
            detector.send(&caller, Method::POST, "/chatkit/sessions", opening()).await?.expect(201)?;
        openai.set_mode(mode.clone());
        let response = detector.send(&caller, Method::POST, "/chatkit/sessions", opening()).await?;
        ensure!(response.status.is_server_error(), "{mode:?}: expected 5xx, found {response:?}");
        detector.send(&caller, Method::GET, &session_path(&opened), None).await?.expect(200)?;
        let cancel = format!("{}/cancel", session_path(&opened));
        detector.send(&caller, Method::POST, &cancel, None).await?.expect(200)?;
        let is_success = run_maintenance(&stack, &mut detector).await;
        ensure!(is_success, "{mode:?}: the maintenance failed because of OpenAI");
    }
    detector.search(&stack).await?.expect_no_leaks()
}

#[tokio::test]
async fn echoing_supabase_does_not_leak() -> Result<()> {
    let supabase = EchoServer::start().await?;
    let stack = with_trace_log().env("SUPABASE_URL", &supabase.url()).start().await?;
    supabase.set_jwks(stack.issuer().jwks());
    let (mut detector, mut caller) = (LeakDetector::new(&stack), TestClient::new(&stack).await?);
    let issuer = format!("{}/auth/v1", supabase.url());
    caller.token = stack.issuer().token_builder(&caller.user).claim("iss", issuer).sign();
    let session = format!("/chatkit/sessions/{}", Uuid::now_v7());
    let click = || event("button_click", json!({ "action": "a" }));
    let decide = format!("/chatkit/escalations/{}/decision", Uuid::now_v7());
    let decision = || Some(json!({ "decision": "respond", "answer": 1, "subjectHash": "0".repeat(64) }));
    for mode in EchoMode::all() {
        supabase.set_mode(mode.clone());
        for (method, path, body) in [
            (Method::GET, "/chatkit/agents".to_owned(), None),
            (Method::GET, "/chatkit/sessions".to_owned(), None),
            (Method::GET, session.clone(), None),
            (Method::GET, format!("{session}/messages"), None),
            (Method::GET, "/chatkit/escalations".to_owned(), None),
            (Method::POST, decide.clone(), decision()),
            (Method::POST, "/chatkit/sessions".to_owned(), opening()),
            (Method::POST, format!("{session}/events"), click()),
            (Method::POST, format!("{session}/cancel"), None),
        ] {
            let response = if method == Method::GET {
                detector.send(&caller, method, &path, body).await?
            } else {
                detector.send_with_key(&caller, &path, body).await?
            };
            ensure!(!response.status.is_success(), "{mode:?}: {path}: expected an error, found {response:?}");
        }
        ensure!(!run_maintenance(&stack, &mut detector).await, "{mode:?}: the maintenance succeeded");
    }
    detector.search(&stack).await?.expect_no_leaks()
}
