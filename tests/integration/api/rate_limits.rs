//! Throttles and bounds: so much a minute, a day or at once and no more, counted in the database.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::openai::On;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide_with_key, decision_body};

async fn limits(stack: &LocalStack, caller: &TestClient, limits: Value) -> Result<()> {
    let mut arguments = limits;
    arguments["p_org_id"] = json!(caller.user.org_id);
    let (status, answer) = stack.rpc("set_org_limits", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    Ok(())
}

// NAME: throttles: secrets of a user are counted, live ones handed out again are not
#[tokio::test]
async fn secrets() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    limits(&stack, &caller, json!({ "p_secrets_per_minute_user": 2 })).await?;
    let open = async || caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await;
    let first = open().await?;
    ensure!(first.headers["ratelimit-policy"] == "\"minute\";q=2;w=60", "{:?}", first.headers);
    let session = first.expect(201)?;
    let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
    for _ in 0..5 {
        caller.post("/chatkit/sessions", resume.clone()).await?.expect(200)?;
    }
    open().await?.expect(201)?;
    let refused = open().await?;
    let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
    ensure!((1..=60).contains(&wait), "{wait} seconds");
    ensure!(refused.headers["ratelimit"].to_str()?.starts_with("\"minute\";r=0;t="), "{:?}", refused.headers);
    refused.problem(429, "rate_limited")?;
    ensure!(stack.openai().calls(On::CreateSession).len() == 2, "OpenAI was asked for what was refused");
    let stranger = TestClient::new(&stack).await?;
    stranger.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    Ok(())
}

// NAME: throttles: a batch of events goes in whole or not at all
#[tokio::test]
async fn events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    limits(&stack, &caller, json!({ "p_events_per_minute_session": 100 })).await?;
    let session = caller.open_path().await?;
    let batch =
        |n: usize| -> Value { (0..n).map(|_| json!({ "id": Uuid::new_v4(), "type": "custom_x" })).collect() };
    let first = batch(70);
    caller.post(&format!("{session}/events"), first.clone()).await?.expect(201)?;
    caller.post(&format!("{session}/events"), batch(70)).await?.problem(429, "rate_limited")?;
    // What is on record already is not counted again.
    caller.post(&format!("{session}/events"), first).await?.expect(201)?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from chat_events").fetch_one(stack.database()).await?;
    ensure!(count == 70, "{count} events");
    Ok(())
}

/// How many requests OpenAI has had, those of deleted or older threads included.
fn asked(stack: &LocalStack) -> usize {
    [On::ListThreads, On::RetrieveThread].iter().map(|on| stack.openai().calls(*on).len()).sum()
}

// NAME: throttles: readings that ask OpenAI are counted, and no others
#[tokio::test]
async fn thread_readings() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    limits(&stack, &caller, json!({ "p_thread_reads_per_minute_user": 3 })).await?;
    let session = caller.open_path().await?;
    caller.record(&session, "thread_changed", json!({ "threadId": "cthr_of_nobody" })).await?.expect(201)?;
    // What is asked for, whether OpenAI is asked, and what is left then.
    let mut etags = Vec::new();
    for (query, asks, remaining) in [
        ("?include=none", false, None),
        ("", true, Some("r=2")),
        ("?include=threads", true, Some("r=1")),
        ("?include=none", false, None),
    ] {
        let before = asked(&stack);
        let reply = caller.get(&format!("{session}{query}")).await?;
        let limit =
            reply.headers.get("ratelimit").map(|value| value.to_str().map(str::to_owned)).transpose()?;
        let told = limit.as_ref().is_some_and(|limit| remaining.is_some_and(|left| limit.contains(left)));
        ensure!(told == remaining.is_some() && limit.is_some() == asks, "{query}: {limit:?}");
        ensure!((asked(&stack) > before) == asks, "{query}: OpenAI");
        etags.push(reply.headers["etag"].to_str()?.to_owned());
        let body = reply.expect(200)?;
        ensure!(body["chatkit"].is_null() != asks, "{query}: {body:#}");
    }
    ensure!(etags[0] == etags[3] && etags[1] == etags[2] && etags[0] != etags[1], "{etags:?}");
    // Each answer is unchanged for its own ETag alone, and OpenAI was asked for the one with threads.
    let read = async |query: &str, etag: &str| {
        caller.send(Method::GET, &format!("{session}{query}"), &[("if-none-match", etag)], None).await
    };
    read("?include=none", &etags[0]).await?.expect(304)?;
    read("?include=none", &etags[1]).await?.expect(200)?;
    let unchanged = read("", &etags[1]).await?;
    ensure!(unchanged.headers["ratelimit"].to_str()?.contains("r=0"), "{:?}", unchanged.headers);
    unchanged.expect(304)?;
    // The bucket is empty: nothing is asked, also for one that may be unchanged.
    let before = asked(&stack);
    for query in ["", "?include=threads"] {
        let refused = read(query, &etags[1]).await?;
        let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
        ensure!((1..=20).contains(&wait), "{wait} seconds");
        ensure!(refused.headers["ratelimit-policy"] == "\"minute\";q=3;w=60", "{:?}", refused.headers);
        refused.problem(429, "rate_limited")?;
    }
    ensure!(asked(&stack) == before, "OpenAI was asked for what was refused");
    // A session that is not there costs nothing, and all else goes on.
    caller.get(&format!("/chatkit/sessions/{}", Uuid::new_v4())).await?.problem(404, "session_not_found")?;
    caller.get(&format!("{session}?include=none")).await?.expect(200)?;
    for wrong in
        ["?include=", "?include=None", "?include=none,threads", "?include=none&include=none", "?with=none"]
    {
        caller.get(&format!("{session}{wrong}")).await?.problem(422, "invalid_request")?;
    }
    let approver = TestClient::joining(&stack, caller.user.org_id, OrgRole::Approver).await?;
    approver.get(&session).await?.expect(200)?;
    // No reader holds a key that could charge others.
    Ok(())
}

// NAME: throttles: without ChatKit no reading is counted, and sessions are as with it
#[tokio::test]
async fn without_chatkit() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let caller = TestClient::new(&stack).await?;
    let limited = json!({ "p_thread_reads_per_minute_user": 1, "p_secrets_per_minute_user": 2 });
    limits(&stack, &caller, limited).await?;
    let open = async |key: &str| {
        let body = json!({ "agentId": AGENT });
        caller.send(Method::POST, "/chatkit/sessions", &[("idempotency-key", key)], Some(body)).await
    };
    let first = open("first").await?;
    ensure!(first.headers["ratelimit-policy"] == "\"minute\";q=2;w=60", "{:?}", first.headers);
    let session = crate::support::client::path(&first.expect(201)?);
    for _ in 0..3 {
        let reply = caller.get(&session).await?;
        ensure!(!reply.headers.contains_key("ratelimit"), "a reading was counted: {:?}", reply.headers);
        reply.expect(200)?;
        // A replay makes no session, and costs none.
        open("first").await?.expect(200)?;
    }
    open("second").await?.expect(201)?;
    open("third").await?.problem(429, "rate_limited")?;
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions").fetch_one(stack.database()).await?;
    ensure!(sessions == 2, "{sessions} sessions");
    Ok(())
}

// NAME: throttles: callers are charged for their own readings and by nobody else
#[tokio::test]
async fn charged_themselves() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let other = TestClient::joining(&stack, caller.user.org_id, OrgRole::Owner).await?;
    limits(&stack, &caller, json!({ "p_thread_reads_per_minute_user": 2 })).await?;
    let anonymous = stack.issuer().forge(&caller.user).claim("is_anonymous", true).sign();
    let nowhere = stack.issuer().forge(&caller.user).without("app_metadata").sign();
    let (publishable, secret) = (stack.supabase().publishable_key(), stack.supabase().secret_key());
    let charge = async |key: &str, arguments: Value| {
        stack.rest(key, Method::POST, "/rpc/consume_thread_read_limit", Some(arguments)).await
    };
    for (key, status) in [(publishable, 401), (secret, 403), (&*anonymous, 403), (&*nowhere, 403)] {
        let (answered, body) = charge(key, json!({})).await?;
        ensure!(answered == status, "{answered} {body}");
    }
    // There is nothing to say about whom.
    let (answered, body) = charge(&other.token, json!({ "p_user_id": caller.user.id })).await?;
    ensure!(answered == 404, "{answered} {body}");
    for expected in [200, 200, 429] {
        let (answered, body) = charge(&caller.token, json!({})).await?;
        ensure!(answered == expected, "{answered} {body}");
    }
    let (answered, body) = charge(&other.token, json!({})).await?;
    ensure!(answered == 200 && body["remaining"] == 1, "{answered} {body}");
    let charged: Vec<Uuid> = sqlx::query_scalar(
        "select subject from throttles where kind = 'thread_reading' order by full_at desc",
    )
    .fetch_all(stack.database())
    .await?;
    ensure!(charged == [caller.user.id, other.user.id], "{charged:?}");
    Ok(())
}

/// A way to use a key, and how it is answered the first time.
const WAYS_TO_USE_A_KEY: &[(&str, u16)] =
    &[("open", 201), ("resume", 200), ("refresh", 200), ("event", 201), ("decide", 200), ("cancel", 200)];

// NAME: throttles: every new key of a day is counted once, whatever came of it
#[tokio::test]
async fn keys() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut office = EscalationFixture::new(&stack, json!({})).await?;
    // A key costs 864 seconds of a day, more than this takes.
    limits(&stack, &office.member, json!({ "p_keys_per_day_user": 100 })).await?;
    let used = async || -> Result<f64> {
        let used = "select coalesce(extract(epoch from max(full_at) - clock_timestamp()), 0)::float8
            from throttles where kind = 'key'";
        Ok(sqlx::query_scalar(used).fetch_one(stack.database()).await?)
    };
    for (way, status) in WAYS_TO_USE_A_KEY {
        let session = office.member.open().await?;
        office.session = crate::support::client::path(&session);
        let escalation = office.escalate_from_page(json!({})).await?;
        let (events, cancel) = (format!("{}/events", office.session), format!("{}/cancel", office.session));
        let resume = |purpose: &str| Some(json!({ "sessionId": session["id"], "purpose": purpose }));
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
        let key = Uuid::new_v4().to_string();
        let under = [("idempotency-key", key.as_str())];
        let member = &office.member;
        let attempt = async || match *way {
            "open" => {
                member
                    .send(Method::POST, "/chatkit/sessions", &under, Some(json!({ "agentId": AGENT })))
                    .await
            }
            "resume" | "refresh" => member.send(Method::POST, "/chatkit/sessions", &under, resume(way)).await,
            "event" => member.send(Method::POST, &events, &under, Some(event.clone())).await,
            "decide" => {
                decide_with_key(member, &escalation, decision_body(&escalation, "reject"), &key).await
            }
            _ => member.send(Method::POST, &cancel, &under, None).await,
        };
        attempt().await?.expect(*status).context(*way)?;
        let once = used().await?;
        ensure!((800.0..864.0).contains(&once), "{way}: the key was counted as {once} s");
        for _ in 0..3 {
            let again = attempt().await?;
            ensure!(again.status.is_success(), "{way} again: {again:?}");
        }
        let again = used().await?;
        ensure!(again <= once, "{way}: the key was counted again: {again} s");
        sqlx::query("delete from throttles where kind = 'key'").execute(stack.database()).await?;
    }
    // A day's worth, and one more: whatever is asked under it is refused, and nothing of it is done.
    let session = office.member.open().await?;
    office.session = crate::support::client::path(&session);
    let events = format!("{}/events", office.session);
    let event = |key: &str| {
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_y", "payload": {} });
        let (member, key, events) = (&office.member, key.to_owned(), events.clone());
        async move { member.send(Method::POST, &events, &[("idempotency-key", &key)], Some(event)).await }
    };
    let first = event("key 0").await;
    ensure!(first?.status == 400, "a key with a space");
    for n in 0..100 {
        event(&format!("key-{n}")).await?.expect(201).with_context(|| format!("key {n}"))?;
    }
    let refused = event("key-100").await?;
    let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
    ensure!((800..=864).contains(&wait), "{wait} seconds");
    ensure!(refused.headers["ratelimit-policy"] == "\"day\";q=100;w=86400", "{:?}", refused.headers);
    ensure!(refused.headers["ratelimit"].to_str()?.starts_with("\"day\";r=0;t="), "{:?}", refused.headers);
    refused.problem(429, "rate_limited")?;
    let count = async |query: &'static str| -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(stack.database()).await?)
    };
    let (kept, recorded) = (
        count("select count(*) from idempotency_keys where key like 'key-%'").await?,
        count("select count(*) from chat_events where type = 'custom_y'").await?,
    );
    ensure!((kept, recorded) == (100, 100), "{kept} keys and {recorded} events");
    // Without a key, and as anybody else, all goes on.
    office.member.record(&office.session, "custom_z", json!({})).await?.expect(201)?;
    let colleague = office.add_colleague(OrgRole::Member).await?;
    let open = Some(json!({ "agentId": AGENT }));
    colleague
        .send(Method::POST, "/chatkit/sessions", &[("idempotency-key", "key-100")], open)
        .await?
        .expect(201)?;
    Ok(())
}

// NAME: throttles: a user has so many active sessions, also of those opened at once
#[tokio::test]
async fn active_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let colleague = TestClient::joining(&stack, caller.user.org_id, OrgRole::Member).await?;
    limits(&stack, &caller, json!({ "p_active_sessions_user": 5, "p_secrets_per_minute_user": 1000 }))
        .await?;
    colleague.open().await?;
    let first = caller.open().await?;
    // Sixteen at once, over as many connections as there are.
    let body = || json!({ "agentId": AGENT });
    let opened = try_join_all((0..16).map(|_| caller.post("/chatkit/sessions", body()))).await?;
    let made = opened.iter().filter(|reply| reply.status == 201).count();
    ensure!(made == 4, "{made} more sessions were opened");
    for reply in opened.into_iter().filter(|reply| reply.status != 201) {
        let problem = reply.problem(409, "too_many_sessions")?;
        ensure!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.starts_with("At most 5 may be active at once.")),
            "{problem:#}"
        );
    }
    let active: i64 =
        sqlx::query_scalar("select count(*) from chat_sessions where user_id = $1 and status = 'active'")
            .bind(caller.user.id)
            .fetch_one(stack.database())
            .await?;
    ensure!(active == 5, "{active} are active");
    ensure!(stack.openai().calls(On::CreateSession).len() == 6, "OpenAI was asked for what was refused");
    // What is open goes on, whatever is asked in it.
    let resume = json!({ "sessionId": first["id"], "purpose": "resume" });
    caller.post("/chatkit/sessions", resume).await?.expect(200)?;
    caller.record(&crate::support::client::path(&first), "custom_x", json!({})).await?.expect(201)?;
    colleague.open().await?;
    // One that ends makes room for one.
    caller.cancel(&crate::support::client::path(&first)).await?.expect(200)?;
    let keyed = [("idempotency-key", "the-last")];
    let open = async || caller.send(Method::POST, "/chatkit/sessions", &keyed, Some(body())).await;
    open().await?.expect(201)?;
    caller.post("/chatkit/sessions", body()).await?.problem(409, "too_many_sessions")?;
    // A replay makes none.
    open().await?.expect(200)?;
    // By the RPC too, over sixteen connections.
    limits(&stack, &caller, json!({ "p_active_sessions_user": 8, "p_secrets_per_minute_user": 1000 }))
        .await?;
    let by_rpc = (0..16).map(|_| {
        let arguments = json!({ "p_org_id": caller.user.org_id, "p_user_id": caller.user.id,
            "p_session_id": Uuid::now_v7(), "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {} });
        stack.rpc("open_session", arguments)
    });
    let answers = try_join_all(by_rpc).await?;
    let made = answers.iter().filter(|(status, _)| status.is_success()).count();
    let refused = answers.iter().filter(|(_, answer)| answer["message"] == "too_many_sessions").count();
    ensure!((made, refused) == (3, 13), "{made} made, {refused} refused: {answers:?}");
    Ok(())
}

// NAME: throttles: each limit is taken within its bounds and has its default
#[tokio::test]
async fn bounds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let set = async |more: Value| {
        let mut arguments = json!({ "p_org_id": org_id });
        let fields = arguments.as_object_mut().context("no object")?;
        fields.extend(more.as_object().context("no object")?.clone());
        stack.rpc("set_org_limits", arguments).await
    };
    for (name, least, most, default) in [
        ("secrets_per_minute_user", 1, 100_000, 60),
        ("secrets_per_minute_session", 1, 100_000, 20),
        ("events_per_minute_user", 100, 1_000_000, 600),
        ("events_per_minute_session", 100, 1_000_000, 300),
        ("thread_reads_per_minute_user", 1, 100_000, 120),
        ("keys_per_day_user", 100, 1_000_000, 10_000),
        ("active_sessions_user", 1, 1_000_000, 200),
    ] {
        let argument = format!("p_{name}");
        for (value, taken) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            let (status, answer) = set(json!({ &*argument: value })).await?;
            ensure!(status.is_success() == taken, "{name} {value}: {answer}");
            let said =
                if taken { answer["limits"][name] == value } else { answer["message"] == "invalid_limits" };
            ensure!(said, "{name} {value}: {answer}");
        }
        let (_, answer) = set(json!({})).await?;
        ensure!(answer["limits"][name] == default, "{name}: {answer}");
    }
    Ok(())
}
