//! Pages of lists: a page is limited by its number of rows and by its bytes, and has a cursor
//! unless it is the last one.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn longest_messages_are_listed_with_every_limit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    insert_messages(&stack, &session, 3, "short").await?;
    insert_messages(&stack, &session, 20, &"\u{1F4B6}".repeat(60_000)).await?;
    insert_messages(&stack, &session, 130, "short").await?;
    let expected = query_ids(&stack, "select id::text from chat_messages order by seq").await?;
    ensure!(expected.len() == 153, "expected 153 messages, found {}", expected.len());
    let list = format!("{}/messages", session_path(&session));
    expect_list(&caller, &list, "messages", &expected).await?;
    let (_, largest_page) = read_pages(&caller, &list, "messages", "limit=100").await?;
    ensure!(largest_page > 20, "expected a page of more than 20 short messages, found {largest_page}");
    Ok(())
}

/// PostgREST limits its responses to `max-rows`.
#[tokio::test]
async fn lists_longer_than_max_rows_return_each_row_once_in_order() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let approver = TestClient::in_organisation(&stack, caller.user.org_id, OrgRole::Approver).await?;
    let session = caller.open_session().await?;
    let id = session["id"].as_str().context("no id")?;
    let copies = "
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, last_activity_at)
        select gen_random_uuid(), s.org_id, s.user_id, s.channel, s.agent_id, s.provider, '2026-11-22T10:00:00.000001Z'
        from chat_sessions as s, generate_series(1, 181)";
    sqlx::query(copies).execute(stack.database()).await?;
    let by_activity =
        "select id::text from chat_sessions order by last_activity_at desc, chat_sessions.id desc";
    let sessions = query_ids(&stack, by_activity).await?;
    ensure!(sessions.len() == 182, "expected 182 sessions, found {}", sessions.len());
    expect_list(&caller, "/chatkit/sessions", "sessions", &sessions).await?;

    caller
        .record_event(
            &session_path(&session),
            "hitl_escalation",
            json!({ "reason": "r", "decisions": ["approve"] }),
        )
        .await?
        .expect(201)?;
    for query in [
        "insert into chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type)
         select e.org_id, e.user_id, e.session_id, gen_random_uuid(), 100 + n, e.type, e.payload, e.actor_type
         from chat_events as e, generate_series(1, 129) as n",
        "insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason,
           decisions, expires_at, kind, risk, approver, subject)
         select gen_random_uuid(), x.org_id, x.user_id, x.session_id, e.id, x.origin, x.reason,
           x.decisions, x.expires_at, x.kind, x.risk, x.approver, x.subject
         from chat_escalations as x join chat_events as e on e.session_id = x.session_id and e.seq > 100",
    ] {
        sqlx::query(query).execute(stack.database()).await?;
    }
    let by_age = "select id::text from chat_escalations order by created_at, chat_escalations.id";
    let escalations = query_ids(&stack, by_age).await?;
    ensure!(escalations.len() == 130, "expected 130 escalations, found {}", escalations.len());
    expect_list(&approver, "/chatkit/escalations", "escalations", &escalations).await?;
    let session = caller.get(&format!("/chatkit/sessions/{id}?include=none")).await?.expect(200)?;
    let count = |list: &str| session[list].as_array().map_or(0, Vec::len);
    ensure!(
        (count("events"), count("escalations")) == (20, 20)
            && session["cut"] == json!(["events", "escalations"]),
        "expected 20 events and 20 escalations, with others omitted; found {session:#}"
    );

    let new_agents = "
        insert into agents (org_id, id, display_name, description, provider, chatkit_workflow_id)
        select $1, 'agent_' || n, 'Agent', '', 'openai_hosted', 'wf_1' from generate_series(1, 149) as n";
    sqlx::query(new_agents).bind(caller.user.org_id).execute(stack.database()).await?;
    let agents = query_ids(&stack, "select id from agents order by id").await?;
    ensure!(agents.len() == 150, "expected 150 agents, found {}", agents.len());
    expect_list(&caller, "/chatkit/agents", "agents", &agents).await
}

#[tokio::test]
async fn largest_row_of_each_list_fits_on_a_page() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    // PostgreSQL writes each of these characters in six bytes. Lambda escapes the backslash again.
    let longest = "\u{1}".repeat(349_000);
    let metadata = json!({ "a": "\u{1F4B6}".repeat(2046) });
    let opened = caller
        .post("/chatkit/sessions", json!({ "agentId": AGENT, "metadata": metadata }))
        .await?
        .expect(201)?;
    insert_messages(&stack, &opened, 3, &longest).await?;
    let too_long = insert_messages(&stack, &opened, 1, &"\u{1}".repeat(350_000)).await;
    ensure!(too_long.is_err(), "a message of 350,000 characters was inserted");
    let list = format!("{}/messages", session_path(&opened));
    let (messages, largest_page) = read_pages(&caller, &list, "messages", "").await?;
    ensure!(
        (messages.len(), largest_page) == (3, 1),
        "expected 3 messages on a page each, found {} messages and {largest_page} on a page",
        messages.len()
    );

    let payload = json!({ "a": "\u{1F4B6}".repeat(4094) });
    let escalation = json!({
        "reason": "\u{1F4B6}".repeat(2000), "decisions": ["edit"], "schema": { "enum": vec![1; 3_900] },
    });
    for _ in 0..20 {
        caller.record_event(&session_path(&opened), "custom_x", payload.clone()).await?.expect(201)?;
        caller
            .record_event(&session_path(&opened), "hitl_escalation", escalation.clone())
            .await?
            .expect(201)?;
    }
    let session = caller.get(&session_path(&opened)).await?.expect(200)?;
    let count = |list: &str| session[list].as_array().map_or(0, Vec::len);
    ensure!(session["metadata"] == metadata, "expected {metadata}, found {}", session["metadata"]);
    ensure!(
        (count("events"), count("escalations")) == (20, 20),
        "expected 20 events and 20 escalations, found {} and {}; omitted: {}",
        count("events"),
        count("escalations"),
        session["cut"]
    );
    let (sessions, _) = read_pages(&caller, "/chatkit/sessions", "sessions", "limit=1").await?;
    let (escalations, _) = read_pages(&caller, "/chatkit/escalations", "escalations", "limit=100").await?;
    ensure!(
        (sessions.len(), escalations.len()) == (1, 20),
        "expected 1 session and 20 escalations, found {} and {}",
        sessions.len(),
        escalations.len()
    );

    // The number of tasks is not limited, only their bytes.
    let tasks = "
        insert into chat_tasks (org_id, user_id, session_id, id, title, status)
        select org_id, user_id, id, 'task_' || n, repeat(chr(1), 500), 'running'
        from chat_sessions, generate_series(1, 400) as n";
    sqlx::query(tasks).execute(stack.database()).await?;
    let session = caller.get(&session_path(&opened)).await?.expect(200)?;
    let tasks = session["tasks"].as_array().map_or(0, Vec::len);
    ensure!(
        (100..400).contains(&tasks) && session["cut"] == json!(["events", "tasks"]),
        "expected 100 to 399 tasks, with tasks omitted; found {tasks} tasks, omitted: {}",
        session["cut"]
    );
    Ok(())
}

#[tokio::test]
async fn page_of_a_large_table_reads_few_blocks() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    insert_messages(&stack, &session, 5000, "short").await?;
    let escalation = json!({ "reason": "r", "decisions": ["approve"] });
    caller.record_event(&session_path(&session), "hitl_escalation", escalation).await?.expect(201)?;
    let escalations = "
        with e as (
          insert into chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type)
          select e.org_id, e.user_id, e.session_id, gen_random_uuid(), 100 + n, e.type, e.payload,
            e.actor_type
          from chat_events as e, generate_series(1, 3000) as n returning *
        )
        insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason,
          decisions, created_at, expires_at, kind, risk, approver, subject)
        select gen_random_uuid(), x.org_id, x.user_id, x.session_id, e.id, x.origin, x.reason, x.decisions,
          x.created_at + e.seq * interval '1 s', x.expires_at, x.kind, x.risk, x.approver, x.subject
        from chat_escalations as x, e";
    sqlx::query(escalations).execute(stack.database()).await?;
    let sessions = "
        with new_user as (
          insert into chatkit_users (org_id, user_id) values ($1, gen_random_uuid()) returning *
        )
        insert into chat_sessions (id, org_id, user_id, channel, agent_id, provider, last_activity_at)
        select gen_random_uuid(), u.org_id, u.user_id, 'web', $2, 'openai_hosted', now() + n * interval '1 s'
        from new_user as u, generate_series(1, 20000) as n";
    sqlx::query(sessions).bind(caller.user.org_id).bind(AGENT).execute(stack.database()).await?;
    sqlx::query("vacuum analyze").execute(stack.database()).await?;
    let (own, id) = (caller.user.id, session["id"].as_str().context("no id")?);
    let last_id = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    for call in [
        format!("public.list_sessions(20, '{own}')"),
        "public.list_sessions(20)".to_owned(),
        format!("public.list_sessions(20, null, null, '{AGENT}')"),
        format!("public.list_sessions(20, null, null, null, now() + interval '5000 s', '{last_id}')"),
        "public.list_escalations(20)".to_owned(),
        format!(
            "public.list_escalations(20, p_after_at => now() + interval '1000 s', p_after_id => '{last_id}')"
        ),
        format!("public.list_messages('{id}', 20)"),
        format!("public.list_messages('{id}', 20, 2500)"),
    ] {
        let blocks = blocks_read(&stack, &caller, &call).await?;
        // Each escalation is read again by its id, with its session and the names of people.
        let max = if call.contains("list_escalations") { 400 } else { 100 };
        ensure!(blocks < max, "expected fewer than {max} blocks, found {blocks}: {call}");
    }
    Ok(())
}

/// The limits that the lists are read with. Without one, the default applies.
const LIMITS: [&str; 5] = ["limit=1", "limit=7", "limit=20", "limit=100", ""];

/// Reads the whole list with each limit, and compares its ids with the expected ones.
async fn expect_list(caller: &TestClient, list: &str, member: &str, expected: &[Value]) -> Result<()> {
    for limit in LIMITS {
        let (ids, _) = read_pages(caller, list, member, limit).await?;
        ensure!(
            ids == expected,
            "{list}?{limit}: expected {} rows in order, found {} rows, or in another order",
            expected.len(),
            ids.len()
        );
    }
    Ok(())
}

/// Reads all pages of a list. Returns the ids of the rows, and the number of rows of the largest
/// page.
async fn read_pages(
    caller: &TestClient,
    list: &str,
    member: &str,
    limit: &str,
) -> Result<(Vec<Value>, usize)> {
    let (mut ids, mut largest_page, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = caller.get(&format!("{list}?{limit}{cursor}")).await?.expect(200)?;
        let rows = page[member].as_array().with_context(|| format!("the page has no {member}"))?;
        ensure!(!rows.is_empty(), "found an empty page after {} rows", ids.len());
        // A list that repeats a row may have no last page.
        let repeated = rows.iter().map(|row| &row["id"]).find(|id| ids.contains(*id));
        ensure!(repeated.is_none(), "{list}?{limit}: a page repeats the row {repeated:?}");
        largest_page = largest_page.max(rows.len());
        ids.extend(rows.iter().map(|row| row["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("{}cursor={next}", if limit.is_empty() { "" } else { "&" }),
            None => return Ok((ids, largest_page)),
        }
    }
}

/// Inserts messages with this content after those of the session.
async fn insert_messages(stack: &LocalStack, session: &Value, count: i32, content: &str) -> Result<()> {
    let insert = "
        insert into chat_messages (org_id, user_id, session_id, id, seq, role, content)
        select s.org_id, s.user_id, s.id, gen_random_uuid(), s.last_message_seq + n, 'agent', $2
        from chat_sessions as s, generate_series(1, $3) as n where s.id = $1";
    let id: Uuid = session["id"].as_str().context("no session id")?.parse()?;
    sqlx::query(insert).bind(id).bind(content).bind(count).execute(stack.database()).await?;
    let update = "update chat_sessions set last_message_seq = last_message_seq + $2 where id = $1";
    sqlx::query(update).bind(id).bind(count).execute(stack.database()).await?;
    Ok(())
}

/// The ids that a query returns to the owner of the database.
async fn query_ids(stack: &LocalStack, query: &str) -> Result<Vec<Value>> {
    let ids: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(stack.database()).await?;
    Ok(ids.into_iter().map(Value::from).collect())
}

/// The number of database blocks that a function call reads as an approver.
async fn blocks_read(stack: &LocalStack, caller: &TestClient, call: &str) -> Result<u64> {
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
    let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"))
}
