//! New idempotency keys of a user in a day.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{expect_policy, retry_after, set_limits};
use crate::support::client::{AGENT, TestClient, TestResponse, session_path};
use crate::support::escalations::{EscalationFixture, decide_with_key, decision_body};

/// The limit of these tests. A key occupies it for 864 seconds, a hundredth of a day.
const KEYS_PER_DAY: u32 = 100;

/// An operation that takes a key, and the status of its first response.
const OPERATIONS: &[(&str, u16)] =
    &[("open", 201), ("resume", 200), ("refresh", 200), ("event", 201), ("decide", 200), ("cancel", 200)];

#[tokio::test]
async fn new_key_is_counted_once_for_every_operation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = EscalationFixture::new(&stack, json!({})).await?;
    set_limits(&stack, &fixture.member, json!({ "p_keys_per_day_user": KEYS_PER_DAY })).await?;
    let used_seconds = async || -> Result<f64> {
        let query = "select coalesce(extract(epoch from max(full_at) - clock_timestamp()), 0)::float8
            from throttles where kind = 'key'";
        Ok(sqlx::query_scalar(query).fetch_one(stack.database()).await?)
    };
    for (operation, status) in OPERATIONS {
        let session = fixture.member.open_session().await?;
        fixture.session = session_path(&session);
        let escalation = fixture.escalate_from_page(json!({})).await?;
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
        let key = Uuid::new_v4().to_string();
        let member = &fixture.member;
        let send = async || match *operation {
            "open" => post(member, "/chatkit/sessions", &key, Some(json!({ "agentId": AGENT }))).await,
            "resume" | "refresh" => {
                let renewal = json!({ "sessionId": session["id"], "purpose": operation });
                post(member, "/chatkit/sessions", &key, Some(renewal)).await
            }
            "event" => post(member, &format!("{}/events", fixture.session), &key, Some(event.clone())).await,
            "decide" => {
                decide_with_key(member, &escalation, decision_body(&escalation, "reject"), &key).await
            }
            _ => post(member, &format!("{}/cancel", fixture.session), &key, None).await,
        };
        send().await?.expect(*status).context(*operation)?;
        let once = used_seconds().await?;
        ensure!((800.0..864.0).contains(&once), "{operation}: expected 800 to 864 s, found {once} s");
        for _ in 0..3 {
            let replayed = send().await?;
            ensure!(replayed.status.is_success(), "{operation}: replay: {replayed:?}");
        }
        let after_replays = used_seconds().await?;
        ensure!(after_replays <= once, "{operation}: expected at most {once} s, found {after_replays} s");
        sqlx::query("delete from throttles where kind = 'key'").execute(stack.database()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn key_beyond_the_limit_returns_429_and_is_not_recorded() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    set_limits(&stack, &fixture.member, json!({ "p_keys_per_day_user": KEYS_PER_DAY })).await?;
    let events = format!("{}/events", fixture.session);
    let record = async |key: &str| {
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_y", "payload": {} });
        post(&fixture.member, &events, key, Some(event)).await
    };
    // A malformed key is not counted.
    record("key 0").await?.problem(400, "invalid_idempotency_key")?;
    for n in 0..KEYS_PER_DAY {
        record(&format!("key-{n}")).await?.expect(201).with_context(|| format!("key {n}"))?;
    }
    let limited = record("key-100").await?;
    let seconds = retry_after(&limited)?;
    ensure!((800..=864).contains(&seconds), "expected 800 to 864 seconds, found {seconds}");
    expect_policy(&limited, "\"day\";q=100;w=86400")?;
    ensure!(limited.headers["ratelimit"].to_str()?.starts_with("\"day\";r=0;t="), "{:?}", limited.headers);
    limited.problem(429, "rate_limited")?;
    let keys = fixture.count("select count(*) from idempotency_keys where key like 'key-%'").await?;
    let recorded = fixture.count("select count(*) from chat_events where type = 'custom_y'").await?;
    ensure!((keys, recorded) == (100, 100), "expected 100 keys and 100 events, found {keys} and {recorded}");
    // Requests without a key and those of other users are not affected.
    fixture.member.record_event(&fixture.session, "custom_z", json!({})).await?.expect(201)?;
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    post(&colleague, "/chatkit/sessions", "key-100", Some(json!({ "agentId": AGENT }))).await?.expect(201)?;
    Ok(())
}

async fn post(caller: &TestClient, path: &str, key: &str, body: Option<Value>) -> Result<TestResponse> {
    caller.send(Method::POST, path, &[("idempotency-key", key)], body).await
}
