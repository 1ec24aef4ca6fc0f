//! PostgREST returns the planner's estimates for `Prefer: count=planned`. They depend on statistics
//! of the rows of all tenants, so a filter like `content=lt.m` could reveal contents of others.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use sqlx::AssertSqlSafe;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::request_with_header;
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{COLUMNS_WITH_STATISTICS, TABLES};
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{rows, without_functions};

/// An estimate does not depend on the number of rows of others that a filter matches.
#[tokio::test]
async fn planner_estimates_do_not_depend_on_rows_of_others() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    rows::execute(&tenants, &tenants.person(Caller::User).fill(MANY)).await?;
    let mut differences = Vec::new();
    for table in TABLES {
        for column in table.readable.split_whitespace() {
            let Some((few, most)) = estimates(&tenants, table.name, column).await? else { continue };
            let has_statistics = COLUMNS_WITH_STATISTICS.split_whitespace().any(|name| name == column);
            if few != most && !has_statistics {
                differences.push(format!("{}.{column}: {few} and {most} rows", table.name));
            }
        }
    }
    // The share of one organisation, user or session.
    for table in TABLES {
        for column in ["org_id", "user_id", "session_id"] {
            if !table.readable.split_whitespace().any(|readable| readable == column) {
                continue;
            }
            let common = most_common(&tenants, table.name, column).await?;
            let many = estimate(&tenants, table.name, column, &format!("eq.{common}")).await?;
            let none = estimate(&tenants, table.name, column, &format!("eq.{}", Uuid::new_v4())).await?;
            if many != none {
                let name = table.name;
                differences.push(format!("{name}.{column}: {many} rows of {common}, {none} of a new id"));
            }
        }
    }
    ensure!(differences.is_empty(), "estimates depend on rows of others:\n{}", differences.join("\n"));
    // The control: a column with statistics.
    let of_seq = estimates(&tenants, "chat_messages", "seq").await?;
    let is_different = of_seq.as_ref().is_some_and(|(few, most)| few != most);
    ensure!(is_different, "expected different estimates for chat_messages.seq, found {of_seq:?}");
    Ok(())
}

/// Enough rows of others for statistics.
const MANY: &str = "
    begin;
    set local session_replication_role = replica;
    create temporary table n on commit drop as
      select n, now() - n * interval '1 day' as past, now() + n * interval '1 day' as future
      from generate_series(1, 2000) as n;
    insert into public.agents (org_id, id, display_name, description, provider, chatkit_workflow_id)
      select '{org}', 'agent_' || n, 'Agent ' || n, 'Does ' || n, 'openai_hosted', 'wf_x' from n;
    insert into public.chatkit_users (org_id, user_id) select '{org}', gen_random_uuid() from n;
    insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, provider, status, end_reason, ended_at,
                                      metadata, last_event_seq, last_message_seq)
      select gen_random_uuid(), '{org}', '{user}', 'web', 'agent_' || n, 'openai_hosted', 'ended', 'expired', past,
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

/// The estimates below the first decile of a column and below the ninth. None without values.
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

async fn most_common(tenants: &Tenants, table: &str, column: &str) -> Result<String> {
    let query =
        format!("select {column}::text from public.{table} group by {column} order by count(*) desc limit 1");
    let value = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(tenants.stack.database()).await;
    value.with_context(|| format!("{table}.{column}"))
}

/// The planner's estimate for a request of a member of the other organisation.
async fn estimate(tenants: &Tenants, table: &str, column: &str, filter: &str) -> Result<String> {
    let filter: String = byte_serialize(filter.as_bytes()).collect();
    let filter = filter.replace('+', "%20");
    let path = format!("/{table}?select=org_id&{column}={filter}");
    let caller = Caller::MemberOfOtherOrg;
    let planned = ("prefer", "count=planned");
    let (status, headers, body) =
        request_with_header(tenants, caller, Method::GET, &path, planned, None).await?;
    ensure!(status.is_success(), "{path}: {status} {body}");
    let range = headers.get("content-range").context("no content-range")?.to_str()?;
    Ok(range.rsplit('/').next().unwrap_or_default().to_owned())
}
