//! Prints the content of the tables, and checks that they contain no secrets.

use anyhow::Result;

use super::Demo;
use super::printer::Printer;

/// A summary query of each table.
const TABLES: &[(&str, &str)] = &[
    ("agents", "string_agg(distinct id, ', ')"),
    ("chatkit_users", "'one opaque id for each user and organisation'"),
    ("chat_sessions", "string_agg(status || ' (' || coalesce(end_reason, '-') || ')', ', ' order by id)"),
    ("chatkit_sessions", "count(*) filter (where sealed_secret is not null) || ' with a sealed secret left'"),
    ("chat_threads", "string_agg(title, ', ')"),
    ("chat_runs", "string_agg(status, ', ' order by started_at)"),
    ("chat_events", "string_agg(type, ', ' order by session_id, seq)"),
    ("chat_escalations", "string_agg(status || ': ' || reason, ', ')"),
    ("chat_messages", "string_agg(role || ': ' || content, ' · ' order by session_id, seq)"),
    ("deliveries", "string_agg(agent_id || ' ' || status, ', ' order by session_id, seq)"),
    ("chat_tasks", "string_agg(id || ' ' || status, ', ')"),
];

pub async fn tables(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("Content of the tables").await;
    for (table, about) in TABLES {
        let query = format!("select count(*), {about} from public.{table}");
        let row: (i64, Option<String>) =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(demo.stack.database()).await?;
        printer.field(table, &format!("{:>3}  {}", row.0, row.1.unwrap_or_default()));
    }
    let sealed =
        "select count(*) from public.chatkit_sessions c join public.chat_sessions s on s.id = c.session_id
        where s.status = 'ended' and c.sealed_secret is not null";
    let sealed: i64 = sqlx::query_scalar(sealed).fetch_one(demo.stack.database()).await?;
    printer.check_eq("ended sessions have no sealed secret", 0, sealed)?;
    let upstream = demo.stack.openai().sessions();
    let mut secrets: Vec<&str> = upstream.iter().map(|session| session.client_secret.reveal()).collect();
    secrets.extend(demo.client_secrets.iter().map(String::as_str));
    let mut found = Vec::new();
    for secret in &secrets {
        found.extend(tables_with(demo, secret).await?);
    }
    let check = format!("no table contains any of the {} client secrets", secrets.len());
    printer.check_eq(&check, Vec::<String>::new(), found)?;
    let lines = demo.stack.final_logs().await;
    let leaks = lines.iter().filter(|line| secrets.iter().any(|secret| line.contains(secret))).count();
    printer.check_eq(&format!("none of the {} log lines contains a client secret", lines.len()), 0, leaks)
}

/// Returns the tables that contain a text in any column.
async fn tables_with(demo: &Demo<'_>, text: &str) -> Result<Vec<String>> {
    let names = "select table_schema || '.' || table_name from information_schema.tables
        where table_schema in ('public', 'chatkit_private', 'auth') and table_type = 'BASE TABLE'";
    let tables: Vec<String> = sqlx::query_scalar(names).fetch_all(demo.stack.database()).await?;
    let mut found = Vec::new();
    for table in tables {
        let query = format!("select exists (select from {table} t where position($1 in t::text) > 0)");
        let contains = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(text)
            .fetch_one(demo.stack.database())
            .await?;
        if contains {
            found.push(table);
        }
    }
    Ok(found)
}
