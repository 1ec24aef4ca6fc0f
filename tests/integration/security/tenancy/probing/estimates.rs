//! What can be told from the planner's estimates, with which PostgREST answers `Prefer: count=planned`. They come from
//! statistics over the rows of all tenants, and a filter like `content=lt.m` would search those for what others wrote.

use crate::security::tenancy::in_a_project;
use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use sqlx::AssertSqlSafe;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::ask_with;
use crate::security::tenancy::expectations::{PLANNED_BY, TABLES};
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::rows;
use crate::security::tenancy::tenants::Tenants;

/// So many rows of others that there are statistics of them.
const MANY: &str = "
    begin;
    set local session_replication_role = replica;
    create temporary table n on commit drop as
      select n, now() - n * interval '1 day' as past, now() + n * interval '1 day' as future
      from generate_series(1, 2000) as n;
    insert into public.agents (org_id, id, display_name, description, chatkit_workflow_id)
      select '{org}', 'agent_' || n, 'Agent ' || n, 'Does ' || n, 'wf_x' from n;
    insert into public.chatkit_users (org_id, user_id) select '{org}', gen_random_uuid() from n;
    insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, status, end_reason, ended_at, metadata,
                                      last_event_seq, last_message_seq)
      select gen_random_uuid(), '{org}', '{user}', 'web', 'agent_' || n, 'ended', 'expired', past,
             jsonb_build_object('n', n), n, n
      from n;
    insert into public.chatkit_threads (org_id, user_id, session_id, thread_id, linked_at)
      select '{org}', '{user}', '{session}', 'cthr_' || n, past from n;
    insert into public.chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type, actor_id,
                                    occurred_at)
      select '{org}', '{user}', '{session}', gen_random_uuid(), 10 + n, 'custom_' || n, jsonb_build_object('n', n),
             'user', 'actor ' || n, past
      from n;
    insert into public.chat_messages (org_id, user_id, session_id, id, seq, role, content, tool_invocation_id,
                                      chatkit_item_id)
      select '{org}', '{user}', '{session}', gen_random_uuid(), 10 + n, 'user', 'Pay invoice ' || n, 'call ' || n,
             'item_' || n
      from n;
    insert into public.chat_tasks (org_id, user_id, session_id, id, title, status, updated_at)
      select '{org}', '{user}', '{session}', 'task-' || n, 'Pay ' || n, 'running', past from n;
    insert into public.chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions,
                                         answer_schema, status, expires_at, closed_at, kind, delivery_id, subject,
                                         risk, approver, decision, answer, decided_by, decided_at,
                                         decision_event_id)
      select gen_random_uuid(), '{org}', '{user}', '{session}', gen_random_uuid(), 'orchestrator', 'Because ' || n,
             '{approve,reject}', jsonb_build_object('n', n), 'resolved', future, future,
             (array['agent_asked', 'agent_failed'])[1 + n % 2], id, jsonb_build_object('deliveryId', id),
             (array['low', 'high'])[1 + n % 2], (array['self', 'other'])[1 + n % 2],
             (array['approve', 'reject'])[1 + n % 2], jsonb_build_object('n', n), gen_random_uuid(), past,
             gen_random_uuid()
      from (select *, gen_random_uuid() as id from n) as n;
    commit;
    analyze";

// NAME: tenancy: no estimate of the planner tells what others wrote
/// An estimate is the same whether a filter cuts off few of others' values or most of them.
#[tokio::test]
async fn tell_nothing() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    rows::run(&tenants, &tenants.person(Who::User).fill(MANY)).await?;
    let mut wrong = Vec::new();
    for table in TABLES {
        for column in table.shown.split_whitespace() {
            let Some((few, most)) = estimates(&tenants, table.name, column).await? else { continue };
            let planned_by = PLANNED_BY.split_whitespace().any(|other| other == column);
            if few != most && !planned_by {
                wrong.push(format!("{}.{column}: {few} and {most} rows", table.name));
            }
        }
    }
    // Nor how much of a table is one user's, or of one session.
    for table in TABLES {
        for column in ["org_id", "user_id", "session_id"] {
            if !table.shown.split_whitespace().any(|shown| shown == column) {
                continue;
            }
            let busiest = busiest(&tenants, table.name, column).await?;
            let many = estimate(&tenants, table.name, column, &format!("eq.{busiest}")).await?;
            let none = estimate(&tenants, table.name, column, &format!("eq.{}", Uuid::new_v4())).await?;
            if many != none {
                wrong.push(format!(
                    "{}.{column}: {many} rows of the busiest, {none} of a new one",
                    table.name
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "the planner tells of others' values:\n{}", wrong.join("\n"));
    // Where it does keep statistics, this is what it looks like.
    let order = estimates(&tenants, "chat_messages", "seq").await?;
    ensure!(order.as_ref().is_some_and(|(few, most)| few != most), "there are no estimates: {order:?}");
    Ok(())
}

/// How many rows are expected below a value that a tenth of all are below, and below one that nine tenths are below.
async fn estimates(tenants: &Tenants, table: &str, column: &str) -> Result<Option<(String, String)>> {
    let values = format!(
        "select array[percentile_disc(0.1) within group (order by {column})::text,
                      percentile_disc(0.9) within group (order by {column})::text] from public.{table}"
    );
    let values = sqlx::query_scalar(AssertSqlSafe(values)).fetch_one(tenants.stack.database()).await;
    let values: Vec<Option<String>> = values.with_context(|| format!("{table}.{column}"))?;
    let [Some(low), Some(high)] = values.as_slice() else { return Ok(None) };
    let few = estimate(tenants, table, column, &format!("lt.{low}")).await?;
    Ok(Some((few, estimate(tenants, table, column, &format!("lt.{high}")).await?)))
}

/// The value that most rows have.
async fn busiest(tenants: &Tenants, table: &str, column: &str) -> Result<String> {
    let query =
        format!("select {column}::text from public.{table} group by {column} order by count(*) desc limit 1");
    let busiest = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(tenants.stack.database()).await;
    busiest.with_context(|| format!("{table}.{column}"))
}

/// How many rows the planner expects for a stranger who asks for those of this kind.
async fn estimate(tenants: &Tenants, table: &str, column: &str, filter: &str) -> Result<String> {
    let filter: String = byte_serialize(filter.as_bytes()).collect();
    let filter = filter.replace('+', "%20");
    let path = format!("/{table}?select=org_id&{column}={filter}");
    let planned = ("prefer", "count=planned");
    let (status, headers, body) = ask_with(tenants, Who::Stranger, Method::GET, &path, planned, None).await?;
    ensure!(status.is_success(), "{path}: {status} {body}");
    let range = headers.get("content-range").context("no range")?.to_str()?;
    Ok(range.rsplit('/').next().unwrap_or_default().to_owned())
}
