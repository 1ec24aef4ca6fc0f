//! `ask_above_total`: the sum of the calls that `auto` permits for a user, tool and currency in
//! 24 hours.

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient};
use crate::support::escalations::{EscalationFixture, decide};
use crate::support::tool_calls::{
    ASK, CALLED, compare_rows, complete_calls, event_type, finish_calls, newest_outcomes, open_escalation,
    record_tool_events, register_tools, tool,
};

#[tokio::test]
async fn small_payments_above_the_total_need_approval() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut fields = limited();
    fields["ask_above"] = json!(100);
    register_tools(&stack, fixture.member.user.org_id, AGENT, &[tool("pay", &fields)], &[]).await?;
    // Each amount is just below the limit of a single call, and every third one is negative.
    let events: Vec<(&str, Value)> =
        (0..101).map(|number| ("pay", euros(if number % 3 == 0 { -99 } else { 99 }))).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    let calls = complete_calls(&stack).await?;
    ensure!(calls.len() == 10, "expected 10 calls of 99 below a total of 1000, found {}", calls.len());
    let states = "
        select count(*) filter (where d.status = 'asked'), count(x.id)
        from deliveries as d
        left join chat_escalations as x
          on x.delivery_id = d.id and x.kind = 'policy' and x.status = 'open'";
    let (held, escalated): (i64, i64) = sqlx::query_as(states).fetch_one(stack.database()).await?;
    ensure!(
        (held, escalated) == (91, 91),
        "expected 91 held and escalated calls, found {held} and {escalated}"
    );
    // Only an amount that fits into the rest of the total is called.
    let outcome = pay(&stack, &fixture.member, &fixture.session, "pay", euros(11)).await?;
    ensure!(outcome == ASK, "11 after 990: expected {ASK}, found {outcome}");
    let outcome = pay(&stack, &fixture.member, &fixture.session, "pay", euros(10)).await?;
    ensure!(outcome == CALLED, "10 after 990: expected {CALLED}, found {outcome}");
    let outcome = pay(&stack, &fixture.member, &fixture.session, "pay", euros("0.01")).await?;
    ensure!(outcome == ASK, "0.01 after 1000: expected {ASK}, found {outcome}");
    Ok(())
}

#[tokio::test]
async fn total_counts_each_call_once_per_user_tool_and_currency() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let (member, session) = (&fixture.member, &fixture.session);
    let names = ["retried", "failed", "replayed", "old", "nearly_old", "released"];
    let mut tools = names.map(|name| tool(name, &limited())).to_vec();
    tools.extend([tool("pay", &limited()), tool("pay_too", &limited())]);
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let mut rows = Vec::new();
    let mut row = |description: &str, expected: &str, outcome: String| {
        rows.push((description.to_owned(), expected.to_owned(), outcome))
    };

    // Two attempts of one call count once.
    record_tool_events(member, session, &[("retried", euros(600))]).await?;
    for _ in 0..2 {
        let calls = stack.claim_deliveries().await?;
        ensure!(calls.len() == 1, "expected one call, found {}", calls.len());
        stack.finish_delivery(&calls[0], json!({ "kind": "retry", "error": "unreachable" })).await?;
        sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
            .execute(stack.database())
            .await?;
    }
    complete_calls(&stack).await?;
    row(
        "an amount that fits after a retried call",
        CALLED,
        pay(&stack, member, session, "retried", euros(400)).await?,
    );
    row("1 more after a retried call", ASK, pay(&stack, member, session, "retried", euros(1)).await?);

    // A failed call counts, and its replay does not count again.
    let failed = json!({ "kind": "failed", "error": "agent_failed" });
    record_tool_events(member, session, &[("failed", euros(600)), ("replayed", euros(600))]).await?;
    ensure!(finish_calls(&stack, failed).await?.len() == 2, "expected two failed calls");
    row(
        "an amount that does not fit after a failed call",
        ASK,
        pay(&stack, member, session, "failed", euros(401)).await?,
    );
    row(
        "an amount that fits after a failed call",
        CALLED,
        pay(&stack, member, session, "failed", euros(400)).await?,
    );
    let dead = "select id from deliveries where tool = 'replayed'";
    let dead: Uuid = sqlx::query_scalar(dead).fetch_one(stack.database()).await?;
    let replay = json!({ "p_org_id": org_id, "p_delivery_id": dead });
    let (status, response) = stack.rpc("replay_delivery", replay).await?;
    ensure!(status.is_success(), "replay_delivery returned {status}: {response}");
    ensure!(complete_calls(&stack).await?.len() == 1, "expected the replayed call");
    row(
        "an amount that fits after a replayed call",
        CALLED,
        pay(&stack, member, session, "replayed", euros(400)).await?,
    );
    row("1 more after a replayed call", ASK, pay(&stack, member, session, "replayed", euros(1)).await?);

    // A call counts for 24 hours.
    for (name, age, expected) in [("old", 86_401, CALLED), ("nearly_old", 86_340, ASK)] {
        row(name, CALLED, pay(&stack, member, session, name, euros(1000)).await?);
        let move_back =
            "update auto_call_amounts set begun_at = begun_at - make_interval(secs => $2) where tool = $1";
        sqlx::query(move_back).bind(name).bind(f64::from(age)).execute(stack.database()).await?;
        row(name, expected, pay(&stack, member, session, name, euros(1000)).await?);
    }

    // A call that another person approved does not count.
    row("released", ASK, pay(&stack, member, session, "released", euros(1001)).await?);
    decide(&fixture.approver, &open_escalation(&stack, org_id, "released").await?, "approve")
        .await?
        .expect(200)?;
    ensure!(complete_calls(&stack).await?.len() == 1, "expected the approved call");
    row(
        "an amount that fits after a released call",
        CALLED,
        pay(&stack, member, session, "released", euros(1000)).await?,
    );

    check_separate_totals(&stack, &fixture, &mut rows).await?;
    compare_rows(rows)
}

#[tokio::test]
async fn concurrent_calls_do_not_exceed_the_total() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    stack.raise_limits(org_id).await?;
    let tools = ["started", "claimed"].map(|name| tool(name, &limited()));
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;

    // 16 transactions each begin a call, and are open while the others read the total.
    let deliveries = create_pending(&stack, &fixture, "started").await?;
    ensure!(deliveries.len() == 16, "expected 16 deliveries, found {}", deliveries.len());
    let options = stack.database().connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(16).min_connections(16).connect_with(options).await?;
    let lock = "
        select s.id from chat_sessions as s
        join deliveries as d on d.session_id = s.id
        where d.id = $1 for update of s";
    let begin =
        "select chatkit_private.begin_call(d, 60, null) is not null from deliveries as d where d.id = $1";
    let started = deliveries.into_iter().map(|id| {
        let pool = &pool;
        async move {
            let mut transaction = pool.begin().await?;
            sqlx::query(lock).bind(id).execute(&mut *transaction).await?;
            let started: bool = sqlx::query_scalar(begin).bind(id).fetch_one(&mut *transaction).await?;
            sqlx::query("select pg_sleep(0.02)").execute(&mut *transaction).await?;
            transaction.commit().await?;
            anyhow::Ok(started)
        }
    });
    let started = try_join_all(started).await?.into_iter().filter(|started| *started).count();
    pool.close().await;
    ensure!(started == 10, "expected 10 calls of 100 below a total of 1000, found {started}");
    let finish = "
        update deliveries set status = 'done', lease_until = null, finished_at = now()
        where status = 'running'";
    sqlx::query(finish).execute(stack.database()).await?;

    // 16 dispatchers claim at the same time.
    create_pending(&stack, &fixture, "claimed").await?;
    let mut called = 0;
    for _ in 0..20 {
        let claims = join_all((0..16).map(|_| async {
            let arguments = json!({ "p_limit": 4, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
            stack.rpc("claim_deliveries", arguments).await
        }));
        for claim in claims.await {
            let (status, response) = claim?;
            ensure!(status.is_success(), "claim_deliveries returned {status}: {response}");
            for call in response["deliveries"].as_array().into_iter().flatten() {
                // Otherwise the other deliveries wait for a slot of the agent.
                stack.finish_delivery(call, json!({ "kind": "completed" })).await?;
                called += 1;
            }
        }
    }
    let escalated =
        "select count(*) from chat_escalations where subject ->> 'tool' = 'claimed' and kind = 'policy'";
    let escalated: i64 = sqlx::query_scalar(escalated).fetch_one(stack.database()).await?;
    ensure!(
        (called, escalated) == (10, 6),
        "expected 10 calls and 6 escalations, found {called} and {escalated}"
    );
    Ok(())
}

/// A call above 1000, or above a total of 1000 in 24 hours, needs an approval.
fn limited() -> Value {
    json!({
        "policy": "auto", "amount_pointer": "/amount", "currency_pointer": "/currency",
        "ask_above": 1000, "ask_above_total": 1000,
    })
}

fn euros(amount: impl Into<Value>) -> Value {
    json!({ "amount": amount.into(), "currency": "EUR" })
}

/// Records one payment, and returns the outcome of its call.
async fn pay(
    stack: &LocalStack,
    client: &TestClient,
    session: &str,
    name: &str,
    payload: Value,
) -> Result<String> {
    record_tool_events(client, session, &[(name, payload)]).await?;
    complete_calls(stack).await?;
    newest_outcomes(stack, client.user.org_id).await?.remove(name).context("the payment has no delivery")
}

/// Adds rows that show that each user, tool, agent and currency has a separate total.
async fn check_separate_totals(
    stack: &LocalStack,
    fixture: &EscalationFixture<'_>,
    rows: &mut Vec<(String, String, String)>,
) -> Result<()> {
    let org_id = fixture.member.user.org_id;
    let (member, session) = (&fixture.member, &fixture.session);
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let colleague_session = colleague.open_session_path().await?;
    let second = member.open_session_path().await?;
    let dollars = json!({ "amount": 1000, "currency": "USD" });
    for (description, client, session, name, payload, expected) in [
        ("the first", member, session, "pay", euros(1000), CALLED),
        ("the same again", member, session, "pay", euros(1), ASK),
        ("the same in another session", member, &second, "pay", euros(1), ASK),
        ("another user", &colleague, &colleague_session, "pay", euros(1000), CALLED),
        ("another user again", &colleague, &colleague_session, "pay", euros(1), ASK),
        ("another tool", member, session, "pay_too", euros(1000), CALLED),
        ("another currency", member, session, "pay", dollars.clone(), CALLED),
        ("another currency again", member, session, "pay", dollars, ASK),
    ] {
        let outcome = pay(stack, client, session, name, payload).await?;
        rows.push((description.to_owned(), expected.to_owned(), outcome));
    }
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    register_tools(stack, org_id, "tax_compliance", &[tool("pay", &limited())], &[]).await?;
    register_tools(stack, org_id, AGENT, &[tool("other", &limited())], &[]).await?;
    let outcome = pay(stack, member, session, "pay", euros(1000)).await?;
    rows.push(("another agent's tool of the same name".to_owned(), CALLED.to_owned(), outcome));
    // Amounts in different units cannot be added, so no amount is below the limit.
    let mut minor = limited();
    minor["unit"] = json!("minor");
    register_tools(stack, org_id, "tax_compliance", &[tool("pay", &minor)], &[]).await?;
    sqlx::query("update auto_call_amounts set amount = 0").execute(stack.database()).await?;
    let outcome = pay(stack, member, session, "pay", euros(1)).await?;
    rows.push(("another unit".to_owned(), ASK.to_owned(), outcome));
    Ok(())
}

/// Opens 16 sessions of one user with one payment of 100 each, and returns the pending deliveries.
async fn create_pending(
    stack: &LocalStack,
    fixture: &EscalationFixture<'_>,
    name: &str,
) -> Result<Vec<Uuid>> {
    for _ in 0..16 {
        let session = fixture.member.open_session_path().await?;
        let event = json!({ "id": Uuid::new_v4(), "type": event_type(name), "payload": euros(100) });
        fixture.member.post(&format!("{session}/events"), event).await?.expect(201)?;
    }
    let pending = "select id from deliveries where tool = $1 and status = 'pending' order by id";
    Ok(sqlx::query_scalar(pending).bind(name).fetch_all(stack.database()).await?)
}
