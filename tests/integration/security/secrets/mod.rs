//! Secrets are seen by nobody: keys, client secrets and users' tokens stand in no line of a log however much is logged, in no
//! answer but the one that hands a client secret to its user, and in no column of a table. The key that a client sends a
//! request under is in its one column, and nowhere else.

mod echo_server;
mod watcher;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::openai::{Fault, On};
use local_stack::supabase::Signer;
use local_stack::{Builder, LocalStack, http, supabase};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::jobs::maintenance;
use crate::support::client::{AGENT, TestClient, TestResponse, path, reply};
use echo_server::{Mirror, Mood};
use watcher::Watch;

/// A stack that logs all it can.
fn talkative() -> Builder {
    LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
}

fn open() -> Option<Value> {
    Some(json!({ "agentId": AGENT, "metadata": { "locale": "en" } }))
}

fn event(kind: &str, payload: Value) -> Option<Value> {
    Some(json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload }))
}

/// Writes something under a key that nobody else is to see.
async fn write(
    watch: &mut Watch,
    caller: &TestClient,
    path: &str,
    body: Option<Value>,
) -> Result<TestResponse> {
    let key = format!("key_{}", Uuid::new_v4().simple());
    watch.add_key(&key);
    watch.send_with(caller, Method::POST, path, &[("idempotency-key", &key)], body).await
}

/// One tick of the schedule. What comes of it is kept like an answer.
async fn run_maintenance(stack: &LocalStack, watch: &mut Watch) -> Result<bool> {
    let run = maintenance::run_maintenance(stack).await;
    let is_done = run.is_ok();
    watch.keep_text(run.map_or_else(|failure| format!("{failure:#}"), |report| report.to_string()));
    Ok(is_done)
}

// NAME: secrets: none is seen on the journey
#[tokio::test]
async fn journey() -> Result<()> {
    let stack = talkative().legacy_tokens(true).start().await?;
    let (mut watch, caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    ensure!(watch.known() == 4, "{} secrets in the environment", watch.known());
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let opened = write(&mut watch, &caller, "/chatkit/sessions", open()).await?.expect(201)?;
    let session = path(&opened);
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let said = stack.openai().say(secret, None, "Is invoice 42 paid?").await?;
    let events = format!("{session}/events");
    for event in [
        event("thread_changed", json!({ "threadId": said.thread_id })),
        event("button_click", json!({ "action": "approve" })),
        event("handover", json!({ "agentId": "tax_compliance" })),
        event("hitl_escalation", json!({ "reason": "Too much", "decisions": ["approve"] })),
    ] {
        write(&mut watch, &caller, &events, event).await?.expect(201)?;
    }
    let asked = watch.send(&caller, Method::GET, "/chatkit/escalations", None).await?.expect(200)?;
    let asked = &asked["escalations"][0];
    let id = asked["id"].as_str().context("no escalation")?;
    let decision = json!({ "decision": "approve", "subjectHash": asked["subjectHash"] });
    let decide = format!("/chatkit/escalations/{id}/decision");
    write(&mut watch, &caller, &decide, Some(decision)).await?.expect(200)?;
    for purpose in ["resume", "refresh"] {
        let renewal = json!({ "sessionId": opened["id"], "purpose": purpose });
        write(&mut watch, &caller, "/chatkit/sessions", Some(renewal)).await?.expect(200)?;
    }
    for path in
        [session.clone(), format!("{session}/messages"), "/chatkit/sessions".into(), "/chatkit/agents".into()]
    {
        watch.send(&caller, Method::GET, &path, None).await?.expect(200)?;
    }
    let sealed = "select count(*) from chatkit_sessions where sealed_secret is not null";
    let sealed: i64 = sqlx::query_scalar(sealed).fetch_one(stack.database()).await?;
    ensure!(sealed == 1, "{sealed} sealed secrets to look for one in");
    let left_open = write(&mut watch, &caller, "/chatkit/sessions", open()).await?;
    ensure!(left_open.status == 201);
    write(&mut watch, &caller, &format!("{session}/cancel"), None).await?.expect(200)?;
    let left_idle = write(&mut watch, &caller, "/chatkit/sessions", open()).await?.expect(201)?;
    maintenance::forget(&stack, &left_idle).await?;
    ensure!(run_maintenance(&stack, &mut watch).await?, "a run failed");
    let keys: i64 =
        sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(stack.database()).await?;
    ensure!(keys == 11, "{keys} idempotency keys to look for one in");
    watch.look(&stack).await?.nothing()
}

// NAME: secrets: none is seen when tokens and bodies are bad
#[tokio::test]
async fn refusals() -> Result<()> {
    let stack = talkative().legacy_tokens(true).start().await?;
    let (mut watch, mut caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    let opened = watch.send(&caller, Method::POST, "/chatkit/sessions", open()).await?.expect(201)?;
    let (session, good) = (path(&opened), caller.token.clone());
    // A page that mixes up its fields sends its secrets where they do not belong.
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no secret")?;
    for misplaced in [secret, good.as_str()] {
        let events = format!("{session}/events");
        let decision = format!("/chatkit/escalations/{}/decision", Uuid::new_v4());
        let hash = "0".repeat(64);
        for (path, body) in [
            (&*decision, json!({ "decision": misplaced, "subjectHash": hash })),
            (&decision, json!({ "decision": "approve", "subjectHash": misplaced })),
            ("/chatkit/sessions", json!({ "agentId": misplaced })),
            ("/chatkit/sessions", json!({ "agentId": AGENT, "channel": misplaced })),
            ("/chatkit/sessions", json!({ "agentId": AGENT, "metadata": misplaced })),
            ("/chatkit/sessions", json!({ "sessionId": misplaced, "purpose": "resume" })),
            ("/chatkit/sessions", json!(misplaced)),
            (&events, json!({ "id": misplaced, "type": "button_click" })),
            (&events, json!({ "id": Uuid::new_v4(), "type": misplaced })),
            (&events, json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": misplaced })),
            (&events, json!({ "id": Uuid::new_v4(), "type": "custom_x", "occurredAt": misplaced })),
            (
                &events,
                json!({ "id": Uuid::new_v4(), "type": "feedback", "payload": { "rating": misplaced } }),
            ),
            (&events, json!([misplaced])),
        ] {
            watch.send(&caller, Method::POST, path, Some(body)).await?.problem(422, "invalid_request")?;
        }
    }
    for query in [
        format!("status={good}"),
        format!("agentId={good}"),
        format!("limit={good}"),
        format!("cursor={good}"),
    ] {
        let reply = watch.send(&caller, Method::GET, &format!("/chatkit/sessions?{query}"), None).await?;
        ensure!(reply.status.is_client_error(), "{reply:?}");
    }
    // The same key for another request, a secret as a key, and what is none.
    let key = format!("key_{}", Uuid::new_v4().simple());
    watch.add_key(&key);
    let as_a_key = [("idempotency-key", key.as_str())];
    watch.send_with(&caller, Method::POST, "/chatkit/sessions", &as_a_key, open()).await?.expect(201)?;
    let another = Some(json!({ "agentId": "tax_compliance" }));
    let reused = watch.send_with(&caller, Method::POST, "/chatkit/sessions", &as_a_key, another).await?;
    reused.problem(422, "idempotency_key_reused")?;
    let two_words = format!("two words {good}");
    for none in [good.as_str(), &two_words] {
        let none = [("idempotency-key", none)];
        let refused = watch.send_with(&caller, Method::POST, "/chatkit/sessions", &none, open()).await?;
        refused.problem(400, "invalid_idempotency_key")?;
    }
    let forge = || stack.issuer().forge(&caller.user);
    let bad = [
        forge().signed_by(Signer::Nobody).sign(),
        forge().signed_by(Signer::Stranger).sign(),
        forge().signed_by(Signer::UnknownKey).sign(),
        forge().signed_by(Signer::Hs256).tampered().sign(),
        forge().expired(60).sign(),
        forge().claim("sub", good.as_str()).sign(),
        forge().claim("role", good.as_str()).sign(),
        forge().claim("exp", good.as_str()).sign(),
        forge().without("app_metadata").sign(),
        forge().header("kid", good.as_str()).sign(),
        stack.supabase().legacy_service_key().to_owned(),
        stack.supabase().secret_key().to_owned(),
    ];
    for token in bad {
        caller.token = token;
        for (method, body) in [(Method::GET, None), (Method::POST, open())] {
            let reply = watch.send(&caller, method, "/chatkit/sessions", body).await?;
            ensure!(reply.status.is_client_error(), "{reply:?}");
        }
    }
    // No host has such a name: a library that reads events panics there, and quotes it.
    let request = http::client().get(format!("{}{session}", stack.function_url("get-session")));
    let request = request.header("host", "a b").bearer_auth(&good);
    watch.keep(&reply(request).await?);
    watch.look(&stack).await?.nothing()
}

// NAME: secrets: none is seen when upstreams fail
#[tokio::test]
async fn outages() -> Result<()> {
    let stack = talkative().start().await?;
    let (mut watch, caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    let key = stack.environment().whole().remove("OPENAI_CHATKIT_SECRET").context("no key")?;
    let opened = watch.send(&caller, Method::POST, "/chatkit/sessions", open()).await?.expect(201)?;
    let secret = opened["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let session = path(&opened);
    let faults = [401, 403, 404, 400, 429, 500].map(|status| Fault::everywhere().status(status).code(&key));
    let half_right = json!({ "id": "cksess_1", "client_secret": secret, "expires_at": secret });
    let others = [
        Fault::everywhere().nonsense(),
        Fault::everywhere().cut_body(),
        Fault::everywhere().reset_after(),
        Fault::new(On::CreateSession).body(half_right),
        Fault::everywhere()
            .body(json!({ "id": secret, "client_secret": { "value": secret }, "data": secret })),
    ];
    for fault in faults.into_iter().chain(others) {
        stack.openai().clear_faults();
        stack.openai().fault(fault);
        let refused = watch.send(&caller, Method::POST, "/chatkit/sessions", open()).await?;
        ensure!(refused.status.is_server_error(), "{refused:?}");
        watch.send(&caller, Method::GET, &session, None).await?.expect(200)?;
    }
    watch.send(&caller, Method::POST, &format!("{session}/cancel"), None).await?.expect(200)?;
    stack.openai().clear_faults();
    for fault in [supabase::Fault::Unavailable, supabase::Fault::Down] {
        stack.supabase().fault(fault.clone()).await;
        for (method, path, body) in [
            (Method::POST, "/chatkit/sessions", open()),
            (Method::GET, session.as_str(), None),
            (Method::GET, "/chatkit/agents", None),
        ] {
            let refused = watch.send(&caller, method, path, body).await?;
            ensure!(refused.status == 503, "{refused:?}");
        }
        ensure!(!run_maintenance(&stack, &mut watch).await?, "{fault:?}: a run came through");
    }
    stack.supabase().fault(supabase::Fault::None).await;
    watch.look(&stack).await?.nothing()
}

/// Every mood in which an upstream can repeat a secret.
fn moods() -> Vec<Mood> {
    let statuses = [400, 401, 403, 404, 409, 418, 422, 429, 500, 503].map(Mood::Refusing);
    statuses.into_iter().chain([Mood::Ours, Mood::Nonsense, Mood::Html]).collect()
}

// NAME: secrets: none is seen when OpenAI repeats what it was told
#[tokio::test]
async fn openai_repeats() -> Result<()> {
    let mirror = Mirror::start().await?;
    let stack = talkative().env("OPENAI_CHATKIT_BASE_URL", &mirror.url()).start().await?;
    let (mut watch, caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    let end = jiff::Timestamp::now().as_second() + 600;
    let secret = format!("ek_{}", Uuid::new_v4().simple());
    watch.add("the mirror's client secret", &secret);
    let mut sessions = Vec::new();
    for (number, mood) in moods().into_iter().enumerate() {
        let good = json!({ "id": format!("cksess_{number}"), "client_secret": secret, "expires_at": end });
        mirror.set(Mood::Saying(good));
        let opened = watch.send(&caller, Method::POST, "/chatkit/sessions", open()).await?.expect(201)?;
        mirror.set(mood);
        let refused = watch.send(&caller, Method::POST, "/chatkit/sessions", open()).await?;
        ensure!(refused.status.is_server_error(), "{refused:?}");
        watch.send(&caller, Method::GET, &path(&opened), None).await?.expect(200)?;
        watch.send(&caller, Method::POST, &format!("{}/cancel", path(&opened)), None).await?.expect(200)?;
        ensure!(run_maintenance(&stack, &mut watch).await?, "a run failed for OpenAI's sake");
        sessions.push(opened["id"].clone());
    }
    ensure!(sessions.len() == moods().len());
    watch.look(&stack).await?.nothing()
}

// NAME: secrets: none is seen when Supabase repeats what it was told
#[tokio::test]
async fn supabase_repeats() -> Result<()> {
    let mirror = Mirror::start().await?;
    let stack = talkative().env("SUPABASE_URL", &mirror.url()).start().await?;
    mirror.publish(stack.issuer().jwks());
    let (mut watch, mut caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    caller.token =
        stack.issuer().forge(&caller.user).claim("iss", format!("{}/auth/v1", mirror.url())).sign();
    let session = format!("/chatkit/sessions/{}", Uuid::now_v7());
    let click = || event("button_click", json!({ "action": "a" }));
    let decision = format!("/chatkit/escalations/{}/decision", Uuid::now_v7());
    let decide = || Some(json!({ "decision": "respond", "answer": 1, "subjectHash": "0".repeat(64) }));
    for mood in moods() {
        mirror.set(mood.clone());
        for (method, path, body) in [
            (Method::GET, "/chatkit/agents".to_owned(), None),
            (Method::GET, "/chatkit/sessions".to_owned(), None),
            (Method::GET, session.clone(), None),
            (Method::GET, format!("{session}/messages"), None),
            (Method::GET, "/chatkit/escalations".to_owned(), None),
            (Method::POST, decision.clone(), decide()),
            (Method::POST, "/chatkit/sessions".to_owned(), open()),
            (Method::POST, format!("{session}/events"), click()),
            (Method::POST, format!("{session}/cancel"), None),
        ] {
            let refused = if method == Method::GET {
                watch.send(&caller, method, &path, body).await?
            } else {
                write(&mut watch, &caller, &path, body).await?
            };
            ensure!(!refused.status.is_success(), "{mood:?} at {path}: {refused:?}");
        }
        ensure!(!run_maintenance(&stack, &mut watch).await?, "{mood:?}: a run came through");
    }
    watch.look(&stack).await?.nothing()
}

// NAME: secrets: what is there would be seen
/// The control: ids are in the log, in an answer and in tables, and are found in each, and so is a key that nobody said is one.
#[tokio::test]
async fn what_is_there_is_seen() -> Result<()> {
    let stack = talkative().start().await?;
    let (mut watch, caller) = (Watch::new(&stack), TestClient::new(&stack).await?);
    let key = format!("key_{}", Uuid::new_v4().simple());
    let headers = [("idempotency-key", key.as_str())];
    watch.send_with(&caller, Method::POST, "/chatkit/sessions", &headers, open()).await?.expect(201)?;
    watch.add("the key", &key);
    watch.add("the user", &caller.user.id.to_string());
    watch.add("the organisation", &caller.user.org_id.to_string());
    let seen = watch.look(&stack).await?;
    for place in [
        "the user in the answer",
        "the organisation in the log",
        "the organisation in the table",
        "the key in the table",
    ] {
        ensure!(seen.places.iter().any(|found| found.starts_with(place)), "not found: {place} in {seen:#?}");
    }
    ensure!(seen.nothing().is_err());
    Ok(())
}
