//! A page of a list ends by rows or by bytes, and says by its cursor whether it is the last one.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};

/// What a caller asks for, nothing among it.
const LIMITS: [&str; 5] = ["limit=1", "limit=7", "limit=20", "limit=100", ""];

/// A whole list, page by page, as the ids of its rows; and the most rows of a page.
async fn read(caller: &TestClient, list: &str, of: &str, limit: &str) -> Result<(Vec<Value>, usize)> {
    let (mut ids, mut most, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = caller.get(&format!("{list}?{limit}{cursor}")).await?.expect(200)?;
        let rows = page[of].as_array().with_context(|| format!("no {of}"))?;
        ensure!(!rows.is_empty(), "an empty page after {} rows", ids.len());
        most = most.max(rows.len());
        ids.extend(rows.iter().map(|row| row["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("{}cursor={next}", if limit.is_empty() { "" } else { "&" }),
            None => return Ok((ids, most)),
        }
    }
}

/// Reads the whole list with each limit, and compares it with the ids that it must have.
async fn all_are_read(caller: &TestClient, list: &str, of: &str, expected: &[Value]) -> Result<()> {
    for limit in LIMITS {
        let (ids, _) = read(caller, list, of, limit).await?;
        ensure!(ids == expected, "{list}?{limit}: {} of {}, or in another order", ids.len(), expected.len());
    }
    Ok(())
}

/// Writes messages with this content into a session, behind those that are there.
async fn say(stack: &LocalStack, session: &Value, number: i32, content: &str) -> Result<()> {
    let query = "
        insert into chat_messages (org_id, user_id, session_id, id, seq, role, content)
        select s.org_id, s.user_id, s.id, gen_random_uuid(), s.last_message_seq + n, 'agent', $2
        from chat_sessions as s, generate_series(1, $3) as n where s.id = $1";
    let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
    sqlx::query(query).bind(id).bind(content).bind(number).execute(stack.database()).await?;
    let count = "update chat_sessions set last_message_seq = last_message_seq + $2 where id = $1";
    sqlx::query(count).bind(id).bind(number).execute(stack.database()).await?;
    Ok(())
}

/// The ids that a query of the database's owner finds.
async fn ids(stack: &LocalStack, query: &str) -> Result<Vec<Value>> {
    let ids: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(stack.database()).await?;
    Ok(ids.into_iter().map(Value::from).collect())
}

// NAME: pages: the longest messages are read to the end with any limit
#[tokio::test]
async fn long_messages() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    say(&stack, &session, 3, "short").await?;
    say(&stack, &session, 20, &"\u{1F4B6}".repeat(60_000)).await?;
    say(&stack, &session, 130, "short").await?;
    let expected = ids(&stack, "select id::text from chat_messages order by seq").await?;
    ensure!(expected.len() == 153);
    let list = format!("{}/messages", path(&session));
    all_are_read(&caller, &list, "messages", &expected).await?;
    let (_, most) = read(&caller, &list, "messages", "limit=100").await?;
    ensure!(most > 20, "bytes ended a page of {most} short messages");
    Ok(())
}

// NAME: pages: every row is read once and in order where the API cuts answers to max rows
#[tokio::test]
async fn max_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let approver = TestClient::joining(&stack, caller.user.org_id, OrgRole::Approver).await?;
    let session = caller.open().await?;
    let id = session["id"].as_str().context("no id")?;
    let copies = "
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, last_activity_at)
        select gen_random_uuid(), s.org_id, s.user_id, s.channel, s.agent_id, '2026-11-22T10:00:00.000001Z'
        from chat_sessions as s, generate_series(1, 181)";
    sqlx::query(copies).execute(stack.database()).await?;
    let by_activity =
        "select id::text from chat_sessions order by last_activity_at desc, chat_sessions.id desc";
    let sessions = ids(&stack, by_activity).await?;
    ensure!(sessions.len() == 182);
    all_are_read(&caller, "/chatkit/sessions", "sessions", &sessions).await?;

    caller
        .record(&path(&session), "hitl_escalation", json!({ "reason": "r", "decisions": ["approve"] }))
        .await?
        .expect(201)?;
    for query in [
        "insert into chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type)
         select e.org_id, e.user_id, e.session_id, gen_random_uuid(), 100 + n, e.type, e.payload, e.actor_type
         from chat_events as e, generate_series(1, 129) as n",
        "insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, expires_at, kind, risk,
           approver, subject)
         select gen_random_uuid(), x.org_id, x.user_id, x.session_id, e.id, x.origin, x.reason, x.decisions, x.expires_at, x.kind,
           x.risk, x.approver, x.subject
         from chat_escalations as x join chat_events as e on e.session_id = x.session_id and e.seq > 100",
    ] {
        sqlx::query(query).execute(stack.database()).await?;
    }
    let waiting =
        ids(&stack, "select id::text from chat_escalations order by created_at, chat_escalations.id").await?;
    ensure!(waiting.len() == 130);
    all_are_read(&approver, "/chatkit/escalations", "escalations", &waiting).await?;
    let shown = caller.get(&format!("/chatkit/sessions/{id}?include=none")).await?.expect(200)?;
    let count = |list: &str| shown[list].as_array().map_or(0, Vec::len);
    ensure!(
        (count("events"), count("escalations")) == (20, 20) && shown["cut"] == json!(["escalations"]),
        "{shown:#}"
    );

    let more = "
        insert into agents (org_id, id, display_name, description, chatkit_workflow_id)
        select $1, 'agent_' || n, 'Agent', '', 'wf_1' from generate_series(1, 149) as n";
    sqlx::query(more).bind(caller.user.org_id).execute(stack.database()).await?;
    let agents = ids(&stack, "select id from agents order by id").await?;
    ensure!(agents.len() == 150);
    all_are_read(&caller, "/chatkit/agents", "agents", &agents).await
}

// NAME: pages: the largest row of each list fits into a page by itself
#[tokio::test]
async fn largest_rows() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    // In the database's own words each character has six bytes, and Lambda escapes the backslash once more.
    let most = "\u{1}".repeat(349_000);
    let metadata = json!({ "a": "\u{1F4B6}".repeat(2046) });
    let opened = caller
        .post("/chatkit/sessions", json!({ "agentId": AGENT, "metadata": metadata }))
        .await?
        .expect(201)?;
    say(&stack, &opened, 3, &most).await?;
    ensure!(
        say(&stack, &opened, 1, &"\u{1}".repeat(350_000)).await.is_err(),
        "a message of any size is kept"
    );
    let list = format!("{}/messages", path(&opened));
    let (messages, rows) = read(&caller, &list, "messages", "").await?;
    ensure!((messages.len(), rows) == (3, 1), "{} messages, {rows} to a page", messages.len());

    let payload = json!({ "a": "\u{1F4B6}".repeat(4094) });
    let asks = json!({ "reason": "\u{1F4B6}".repeat(2000), "decisions": ["edit"], "schema": { "enum": vec![1; 3_900] } });
    for _ in 0..20 {
        caller.record(&path(&opened), "custom_x", payload.clone()).await?.expect(201)?;
        caller.record(&path(&opened), "hitl_escalation", asks.clone()).await?.expect(201)?;
    }
    let shown = caller.get(&path(&opened)).await?.expect(200)?;
    let count = |list: &str| shown[list].as_array().map_or(0, Vec::len);
    ensure!(
        shown["metadata"] == metadata && (count("events"), count("escalations")) == (20, 20),
        "{}",
        shown["cut"]
    );
    let (sessions, _) = read(&caller, "/chatkit/sessions", "sessions", "limit=1").await?;
    let (waiting, _) = read(&caller, "/chatkit/escalations", "escalations", "limit=100").await?;
    ensure!((sessions.len(), waiting.len()) == (1, 20));

    // Tasks have no number that they must not pass: they end by bytes, and say so.
    let tasks = "
        insert into chat_tasks (org_id, user_id, session_id, id, title, status)
        select org_id, user_id, id, 'task_' || n, repeat(chr(1), 500), 'running' from chat_sessions, generate_series(1, 400) as n";
    sqlx::query(tasks).execute(stack.database()).await?;
    let shown = caller.get(&path(&opened)).await?.expect(200)?;
    let tasks = shown["tasks"].as_array().map_or(0, Vec::len);
    ensure!(
        (100..400).contains(&tasks) && shown["cut"] == json!(["tasks"]),
        "{tasks} tasks, cut {}",
        shown["cut"]
    );
    Ok(())
}

/// The pages of the database that a member's list touches, and an approver's.
async fn touched(stack: &LocalStack, caller: &TestClient, call: &str) -> Result<u64> {
    let mut transaction = stack.database().begin().await?;
    let claims = json!({ "sub": caller.user.id, "role": "authenticated",
        "app_metadata": { "org_id": caller.user.org_id, "org_role": "approver" } });
    sqlx::query(
        "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)",
    )
    .bind(claims.to_string())
    .execute(&mut *transaction)
    .await?;
    // The first call of a connection also reads the catalogue.
    let explain = format!("explain (analyze, buffers, timing off, format json) select {call}");
    let mut plan = Value::Null;
    for _ in 0..2 {
        plan = sqlx::query_scalar(AssertSqlSafe(explain.clone())).fetch_one(&mut *transaction).await?;
    }
    let pages = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))
}

// NAME: pages: reading one touches no more of a table that is larger
#[tokio::test]
async fn index_serves() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open().await?;
    say(&stack, &session, 5000, "short").await?;
    let ask = json!({ "reason": "r", "decisions": ["approve"] });
    caller.record(&path(&session), "hitl_escalation", ask).await?.expect(201)?;
    let waiting = "
        with e as (
          insert into chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type)
          select e.org_id, e.user_id, e.session_id, gen_random_uuid(), 100 + n, e.type, e.payload, e.actor_type
          from chat_events as e, generate_series(1, 3000) as n returning *
        )
        insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, created_at, expires_at,
          kind, risk, approver, subject)
        select gen_random_uuid(), x.org_id, x.user_id, x.session_id, e.id, x.origin, x.reason, x.decisions,
          x.created_at + e.seq * interval '1 s', x.expires_at, x.kind, x.risk, x.approver, x.subject
        from chat_escalations as x, e";
    sqlx::query(waiting).execute(stack.database()).await?;
    let others = "
        with person as (insert into chatkit_users (org_id, user_id) values ($1, gen_random_uuid()) returning *)
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, last_activity_at)
        select gen_random_uuid(), p.org_id, p.user_id, 'web', $2, now() + n * interval '1 s'
        from person as p, generate_series(1, 20000) as n";
    sqlx::query(others).bind(caller.user.org_id).bind(AGENT).execute(stack.database()).await?;
    sqlx::query("vacuum analyze").execute(stack.database()).await?;
    let (own, id) = (caller.user.id, session["id"].as_str().context("no id")?);
    for call in [
        format!("public.list_sessions(20, '{own}')"),
        "public.list_sessions(20)".to_owned(),
        format!("public.list_sessions(20, null, null, '{AGENT}')"),
        "public.list_sessions(20, null, null, null, now() + interval '5000 s', 'ffffffff-ffff-ffff-ffff-ffffffffffff')".to_owned(),
        "public.list_escalations(20)".to_owned(),
        "public.list_escalations(20, now() + interval '1000 s', 'ffffffff-ffff-ffff-ffff-ffffffffffff')".to_owned(),
        format!("public.list_messages('{id}', 20)"),
        format!("public.list_messages('{id}', 20, 2500)"),
    ] {
        let pages = touched(&stack, &caller, &call).await?;
        ensure!(pages < 100, "{call} touches {pages} pages of the database");
    }
    Ok(())
}

// NAME: pages: a time at a full second has six digits in every answer
#[tokio::test]
async fn full_seconds() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let approver = TestClient::joining(&stack, caller.user.org_id, OrgRole::Approver).await?;
    let session = caller.open().await?;
    say(&stack, &session, 1, "short").await?;
    let ask = json!({ "reason": "r", "decisions": ["approve"] });
    caller.record(&path(&session), "hitl_escalation", ask).await?.expect(201)?;
    for query in [
        "update chat_sessions set last_activity_at = '2026-11-22T10:00:00Z'",
        "update chat_messages set created_at = '2026-11-22T10:00:00.1Z'",
        "update chat_escalations set created_at = '2026-11-22T10:00:00Z'",
        "update chat_events set created_at = '2026-11-22T10:00:00Z', occurred_at = '2026-11-22T10:00:00.12Z'",
        "update agents set created_at = '2026-11-22T10:00:00Z', updated_at = '2026-11-22T10:00:00Z'",
    ] {
        sqlx::query(query).execute(stack.database()).await?;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = path(&session);
    let shown = caller.get(&id).await?.expect(200)?;
    let (at, tenth) = ("2026-11-22T10:00:00.000000Z", "2026-11-22T10:00:00.100000Z");
    ensure!(
        text(&shown["lastActivityAt"]) == at && text(&shown["events"][0]["createdAt"]) == at,
        "{shown:#}"
    );
    ensure!(text(&shown["events"][0]["occurredAt"]) == "2026-11-22T10:00:00.120000Z", "{shown:#}");
    ensure!(text(&shown["escalations"][0]["createdAt"]) == at, "{shown:#}");
    let listed = caller.get("/chatkit/sessions").await?.expect(200)?;
    ensure!(text(&listed["sessions"][0]["lastActivityAt"]) == at, "{listed:#}");
    let messages = caller.get(&format!("{id}/messages")).await?.expect(200)?;
    ensure!(text(&messages["messages"][0]["createdAt"]) == tenth, "{messages:#}");
    let waiting = approver.get("/chatkit/escalations").await?.expect(200)?;
    ensure!(text(&waiting["escalations"][0]["createdAt"]) == at, "{waiting:#}");
    let window = "?from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z";
    let metrics = approver.get(&format!("/chatkit/metrics{window}")).await?.expect(200)?;
    ensure!(text(&metrics["from"]) == "2026-11-22T00:00:00.000000Z", "{metrics:#}");
    // What an operator is answered by SQL itself.
    let (_, registered) = stack
        .rpc(
            "register_agent",
            json!({ "p_org_id": caller.user.org_id, "p_agent_id": "another", "p_display_name": "Another",
            "p_description": "", "p_chatkit_workflow_id": "wf_1" }),
        )
        .await?;
    ensure!(
        crate::support::project_files::is_time(
            registered["agent"]["created_at"].as_str().unwrap_or_default()
        ),
        "{registered:#}"
    );
    Ok(())
}
