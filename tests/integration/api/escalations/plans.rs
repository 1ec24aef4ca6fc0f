//! The number of blocks that a page of escalations reads does not depend on the closed ones.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::client::TestClient;
use crate::support::escalations::EscalationFixture;

/// Copies the escalation of a held call, with another status and tool. Constraints and triggers are
/// off, because the copies have no events of their own.
pub async fn insert_escalations(stack: &LocalStack, count: i32, status: &str, tool: &str) -> Result<()> {
    let mut connection = stack.database().acquire().await?;
    let insert = format!(
        "insert into chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions,
           created_at, expires_at, kind, delivery_id, risk, approver, subject, status, closed_at,
           decision, decided_by, decided_at, decision_event_id)
         select gen_random_uuid(), x.org_id, x.user_id, x.session_id, gen_random_uuid(), x.origin, x.reason,
           x.decisions, x.created_at - n * interval '1 s', x.expires_at, x.kind, c.delivery_id, x.risk,
           x.approver,
           x.subject || jsonb_build_object('deliveryId', c.delivery_id, 'tool', '{tool}'),
           '{status}', case when '{status}' <> 'open' then now() end, r.decision, r.id, r.at, r.id
         from (select * from chat_escalations where tool = 'pay' limit 1) as x
         cross join generate_series(1, {count}) as n
         cross join lateral (select gen_random_uuid() as delivery_id where n > 0) as c
         left join (select 'reject' as decision, gen_random_uuid() as id, now() as at) as r
           on '{status}' = 'resolved'"
    );
    for statement in
        ["set session_replication_role = replica", &insert, "reset session_replication_role", "analyze"]
    {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The number of blocks that a call reads, as the caller with this role in the token.
async fn blocks(stack: &LocalStack, caller: &TestClient, role: &str, call: &str) -> Result<u64> {
    let mut transaction = stack.database().begin().await?;
    let claims = json!({ "sub": caller.user.id, "role": "authenticated",
        "app_metadata": { "org_id": caller.user.org_id, "org_role": role } });
    sqlx::query(
        "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)",
    )
    .bind(claims.to_string())
    .execute(&mut *transaction)
    .await?;
    let explain = format!("explain (analyze, buffers, timing off, format json) select {call}");
    let mut plan = Value::Null;
    // The first call of a connection also reads the catalogue.
    for _ in 0..2 {
        plan = sqlx::query_scalar(AssertSqlSafe(explain.clone())).fetch_one(&mut *transaction).await?;
    }
    let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"))
}

#[tokio::test]
async fn page_reads_as_much_with_100000_closed_escalations_as_with_10() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.hold_payment(1).await?;
    insert_escalations(&stack, 40, "open", "pay").await?;
    insert_escalations(&stack, 10, "resolved", "pay").await?;
    insert_escalations(&stack, 10, "expired", "pay").await?;
    let session = fixture.session.rsplit('/').next().unwrap_or_default();
    let last_id = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let calls = [
        "public.list_escalations(5)".to_owned(),
        "public.list_escalations(5, p_sort => 'expiry')".to_owned(),
        "public.list_escalations(5, p_sort => 'newest')".to_owned(),
        "public.list_escalations(5, p_decidable => true)".to_owned(),
        "public.list_escalations(5, p_tool => 'pay')".to_owned(),
        "public.list_escalations(5, p_claimed_by_me => true)".to_owned(),
        format!("public.list_escalations(5, p_session_id => '{session}')"),
        "public.list_escalations(5, '{resolved}')".to_owned(),
        "public.list_escalations(5, '{resolved,expired}', p_sort => 'newest')".to_owned(),
        "public.list_escalations(5, '{open,resolved,expired,withdrawn}')".to_owned(),
        format!("public.list_escalations(5, p_after_at => now(), p_after_id => '{last_id}')"),
    ];
    let callers = [("approver", &fixture.approver), ("member", &fixture.member)];
    let mut few = Vec::new();
    for (role, caller) in callers {
        for call in &calls {
            few.push(blocks(&stack, caller, role, call).await?);
        }
    }
    insert_escalations(&stack, 100_000, "resolved", "pay").await?;
    let mut failures = Vec::new();
    for (i, (role, caller)) in callers.iter().enumerate() {
        for (j, call) in calls.iter().enumerate() {
            let (before, after) = (few[i * calls.len() + j], blocks(&stack, caller, role, call).await?);
            // A deeper index, and rows on different pages of the table.
            if after > before + 60 {
                failures.push(format!("{role}, {call}: {before} blocks before, {after} after"));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
