//! `ask_above_total`: what `auto` calls for one user, tool and currency in 24 hours, each call counted once.

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

/// Another person is asked above 1000, and above 1000 in a day.
fn limited() -> Value {
    json!({ "policy": "auto", "amount_pointer": "/amount", "currency_pointer": "/currency", "ask_above": 1000, "ask_above_total": 1000 })
}

fn euros(amount: impl Into<Value>) -> Value {
    json!({ "amount": amount.into(), "currency": "EUR" })
}

/// Has one payment made, if it may be, and says what became of it.
async fn pay(
    stack: &LocalStack,
    caller: &TestClient,
    session: &str,
    name: &str,
    payload: Value,
) -> Result<String> {
    record_tool_events(caller, session, &[(name, payload)]).await?;
    complete_calls(stack).await?;
    newest_outcomes(stack, caller.user.org_id).await?.remove(name).context("no delivery")
}

#[tokio::test]
async fn small_payments_above_the_total_need_approval() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let mut fields = limited();
    fields["ask_above"] = json!(100);
    register_tools(&stack, fixture.member.user.org_id, AGENT, &[tool("pay", &fields)], &[]).await?;
    // In two bodies, and each just under the limit of a single one; some below zero.
    let events: Vec<(&str, Value)> =
        (0..101).map(|number| ("pay", euros(if number % 3 == 0 { -99 } else { 99 }))).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    let calls = complete_calls(&stack).await?;
    ensure!(calls.len() == 10, "{} calls of 99 under a total of 1000", calls.len());
    let states = "select count(*) filter (where d.status = 'asked'), count(x.id)
        from deliveries as d left join chat_escalations as x on x.delivery_id = d.id and x.kind = 'policy' and x.status = 'open'";
    let (held, asked): (i64, i64) = sqlx::query_as(states).fetch_one(stack.database()).await?;
    ensure!((held, asked) == (91, 91), "{held} held, {asked} asked about");
    // What still fits is called, and no more.
    let found = pay(&stack, &fixture.member, &fixture.session, "pay", euros(11)).await?;
    ensure!(found == ASK, "11 above 990: {found}");
    let found = pay(&stack, &fixture.member, &fixture.session, "pay", euros(10)).await?;
    ensure!(found == CALLED, "10 above 990: {found}");
    let found = pay(&stack, &fixture.member, &fixture.session, "pay", euros("0.01")).await?;
    ensure!(found == ASK, "0.01 above 1000: {found}");
    Ok(())
}

/// Another of each kind has a total of its own.
async fn apart(
    stack: &LocalStack,
    fixture: &EscalationFixture<'_>,
    rows: &mut Vec<(String, String, String)>,
) -> Result<()> {
    let org_id = fixture.member.user.org_id;
    let (member, session) = (&fixture.member, &fixture.session);
    let colleague = fixture.add_colleague(OrgRole::Member).await?;
    let colleagues = colleague.open_path().await?;
    let second = member.open_path().await?;
    let dollars = json!({ "amount": 1000, "currency": "USD" });
    for (what, caller, session, name, payload, expected) in [
        ("the first", member, session, "pay", euros(1000), CALLED),
        ("the same again", member, session, "pay", euros(1), ASK),
        ("the same in another session", member, &second, "pay", euros(1), ASK),
        ("another user", &colleague, &colleagues, "pay", euros(1000), CALLED),
        ("another user again", &colleague, &colleagues, "pay", euros(1), ASK),
        ("another tool", member, session, "pay_too", euros(1000), CALLED),
        ("another currency", member, session, "pay", dollars.clone(), CALLED),
        ("another currency again", member, session, "pay", dollars, ASK),
    ] {
        let found = pay(stack, caller, session, name, payload).await?;
        rows.push((what.to_owned(), expected.to_owned(), found));
    }
    stack.register_agent(org_id, "tax_compliance", "Tax").await?;
    register_tools(stack, org_id, "tax_compliance", &[tool("pay", &limited())], &[]).await?;
    register_tools(stack, org_id, AGENT, &[tool("other", &limited())], &[]).await?;
    let found = pay(stack, member, session, "pay", euros(1000)).await?;
    rows.push(("another agent's tool of the same name".to_owned(), CALLED.to_owned(), found));
    // What was counted in another unit cannot be added up, so nothing is below the limit.
    let mut minor = limited();
    minor["unit"] = json!("minor");
    register_tools(stack, org_id, "tax_compliance", &[tool("pay", &minor)], &[]).await?;
    sqlx::query("update auto_call_amounts set amount = 0").execute(stack.database()).await?;
    let found = pay(stack, member, session, "pay", euros(1)).await?;
    rows.push(("another unit".to_owned(), ASK.to_owned(), found));
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
    let mut row =
        |what: &str, expected: &str, found: String| rows.push((what.to_owned(), expected.to_owned(), found));

    // Two attempts of one call are one call.
    record_tool_events(member, session, &[("retried", euros(600))]).await?;
    for _ in 0..2 {
        let calls = stack.claim_all().await?;
        ensure!(calls.len() == 1, "{} calls", calls.len());
        stack.finish(&calls[0], json!({ "kind": "retry", "error": "unreachable" })).await?;
        sqlx::query("update deliveries set next_attempt_at = now() where status = 'pending'")
            .execute(stack.database())
            .await?;
    }
    complete_calls(&stack).await?;
    row(
        "what fits beside a retried call",
        CALLED,
        pay(&stack, member, session, "retried", euros(400)).await?,
    );
    row("more than that", ASK, pay(&stack, member, session, "retried", euros(1)).await?);

    // A call that failed counts, and a replay of it is the same call.
    let failed = json!({ "kind": "failed", "error": "agent_failed" });
    record_tool_events(member, session, &[("failed", euros(600)), ("replayed", euros(600))]).await?;
    ensure!(finish_calls(&stack, failed).await?.len() == 2, "two calls were to fail");
    row(
        "more than fits beside a failed call",
        ASK,
        pay(&stack, member, session, "failed", euros(401)).await?,
    );
    row("what fits beside a failed call", CALLED, pay(&stack, member, session, "failed", euros(400)).await?);
    let dead = "select id from deliveries where tool = 'replayed'";
    let dead: Uuid = sqlx::query_scalar(dead).fetch_one(stack.database()).await?;
    let replay = json!({ "p_org_id": org_id, "p_delivery_id": dead });
    ensure!(stack.rpc("replay_delivery", replay).await?.0.is_success());
    ensure!(complete_calls(&stack).await?.len() == 1, "the replayed call was not made");
    row(
        "what fits beside a replayed call",
        CALLED,
        pay(&stack, member, session, "replayed", euros(400)).await?,
    );
    row("more than that", ASK, pay(&stack, member, session, "replayed", euros(1)).await?);

    // A day later it does not count.
    for (name, age, expected) in [("old", 86_401, CALLED), ("nearly_old", 86_340, ASK)] {
        row(name, CALLED, pay(&stack, member, session, name, euros(1000)).await?);
        let move_back =
            "update auto_call_amounts set begun_at = begun_at - make_interval(secs => $2) where tool = $1";
        sqlx::query(move_back).bind(name).bind(f64::from(age)).execute(stack.database()).await?;
        row(name, expected, pay(&stack, member, session, name, euros(1000)).await?);
    }

    // What another person approved is not what `auto` did.
    row("released", ASK, pay(&stack, member, session, "released", euros(1001)).await?);
    decide(&fixture.approver, &open_escalation(&stack, org_id, "released").await?, "approve")
        .await?
        .expect(200)?;
    ensure!(complete_calls(&stack).await?.len() == 1, "an approved call was not made");
    row(
        "what fits beside a released call",
        CALLED,
        pay(&stack, member, session, "released", euros(1000)).await?,
    );

    apart(&stack, &fixture, &mut rows).await?;
    compare_rows(rows)
}

/// Sessions of one user, each with a payment of 100 that is due.
async fn due(stack: &LocalStack, fixture: &EscalationFixture<'_>, name: &str) -> Result<Vec<Uuid>> {
    for _ in 0..16 {
        let session = fixture.member.open_path().await?;
        let event = json!({ "id": Uuid::new_v4(), "type": event_type(name), "payload": euros(100) });
        fixture.member.post(&format!("{session}/events"), event).await?.expect(201)?;
    }
    let due = "select id from deliveries where tool = $1 and status = 'pending' order by id";
    Ok(sqlx::query_scalar(due).bind(name).fetch_all(stack.database()).await?)
}

#[tokio::test]
async fn concurrent_calls_do_not_exceed_the_total() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    stack.raise_limits(org_id).await?;
    let tools = ["begun", "claimed"].map(|name| tool(name, &limited()));
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;

    // Sixteen transactions that each begin a call, and have not ended when the others read the total.
    let deliveries = due(&stack, &fixture, "begun").await?;
    ensure!(deliveries.len() == 16, "{} deliveries", deliveries.len());
    let options = stack.database().connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(16).min_connections(16).connect_with(options).await?;
    let lock = "select s.id from chat_sessions as s join deliveries as d on d.session_id = s.id where d.id = $1 for update of s";
    let begin =
        "select chatkit_private.begin_call(d, 60, null) is not null from deliveries as d where d.id = $1";
    let begun = deliveries.into_iter().map(|id| {
        let pool = &pool;
        async move {
            let mut transaction = pool.begin().await?;
            sqlx::query(lock).bind(id).execute(&mut *transaction).await?;
            let begun: bool = sqlx::query_scalar(begin).bind(id).fetch_one(&mut *transaction).await?;
            sqlx::query("select pg_sleep(0.02)").execute(&mut *transaction).await?;
            transaction.commit().await?;
            anyhow::Ok(begun)
        }
    });
    let begun = try_join_all(begun).await?.into_iter().filter(|begun| *begun).count();
    pool.close().await;
    ensure!(begun == 10, "{begun} calls of 100 were begun under a total of 1000");
    sqlx::query("update deliveries set status = 'done', lease_until = null, finished_at = now() where status = 'running'")
        .execute(stack.database())
        .await?;

    // Sixteen routers that claim.
    due(&stack, &fixture, "claimed").await?;
    let mut called = 0;
    for _ in 0..20 {
        let claims = join_all((0..16).map(|_| async {
            let arguments = json!({ "p_limit": 4, "p_lease_seconds": 60, "p_claim_id": Uuid::now_v7() });
            stack.rpc("claim_deliveries", arguments).await
        }));
        for claim in claims.await {
            let (status, answer) = claim?;
            ensure!(status.is_success(), "{answer}");
            called += answer["deliveries"].as_array().map_or(0, Vec::len);
        }
    }
    let asked =
        "select count(*) from chat_escalations where subject ->> 'tool' = 'claimed' and kind = 'policy'";
    let asked: i64 = sqlx::query_scalar(asked).fetch_one(stack.database()).await?;
    ensure!((called, asked) == (10, 6), "{called} called, {asked} asked about");
    Ok(())
}
