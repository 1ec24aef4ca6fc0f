//! What is now in the tables, and what is not.

use anyhow::Result;

use super::Play;
use super::printer::Stage;

/// Each table with a line on what is in it, for one session and its owner.
const TABLES: &[(&str, &str)] = &[
    ("agents", "string_agg(distinct id, ', ')"),
    ("chatkit_users", "'one opaque name for each person and organisation'"),
    ("chat_sessions", "string_agg(status || ' (' || coalesce(end_reason, '-') || ')', ', ' order by id)"),
    ("chatkit_sessions", "count(*) filter (where sealed_secret is not null) || ' with a sealed secret left'"),
    ("chatkit_threads", "string_agg(thread_id, ', ')"),
    ("chat_events", "string_agg(type, ', ' order by session_id, seq)"),
    ("chat_escalations", "string_agg(status || ': ' || reason, ', ')"),
    ("chat_messages", "string_agg(role || ': ' || content, ' · ' order by session_id, seq)"),
    ("deliveries", "string_agg(agent_id || ' ' || status, ', ' order by session_id, seq)"),
    ("chat_tasks", "string_agg(id || ' ' || status, ', ')"),
];

pub async fn tables(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("What is now in the tables").await;
    for (table, about) in TABLES {
        let query = format!("select count(*), {about} from public.{table}");
        let row: (i64, Option<String>) =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(play.stack.database()).await?;
        stage.fact(table, &format!("{:>3}  {}", row.0, row.1.unwrap_or_default()));
    }
    let sealed =
        "select count(*) from public.chatkit_sessions c join public.chat_sessions s on s.id = c.session_id
        where s.status = 'ended' and c.sealed_secret is not null";
    let sealed: i64 = sqlx::query_scalar(sealed).fetch_one(play.stack.database()).await?;
    stage.promise("no secret outlived its session", 0, sealed)?;
    let upstream = play.stack.openai().sessions();
    let secrets: Vec<&str> = upstream.iter().map(|session| session.client_secret.reveal()).collect();
    let mut found = Vec::new();
    for secret in &secrets {
        found.extend(tables_with(play, secret).await?);
    }
    let promise = format!("none of the {} client secrets stands in a table", secrets.len());
    stage.promise(&promise, Vec::<String>::new(), found)?;
    let lines = play.stack.final_logs().await;
    let leaks = lines.iter().filter(|line| secrets.iter().any(|secret| line.contains(secret))).count();
    stage.promise(&format!("nor in any of the {} lines that the functions logged", lines.len()), 0, leaks)
}

/// The tables in which a text stands, in whatever column.
async fn tables_with(play: &Play<'_>, text: &str) -> Result<Vec<String>> {
    let names = "select table_schema || '.' || table_name from information_schema.tables
        where table_schema in ('public', 'chatkit_private', 'auth') and table_type = 'BASE TABLE'";
    let tables: Vec<String> = sqlx::query_scalar(names).fetch_all(play.stack.database()).await?;
    let mut found = Vec::new();
    for table in tables {
        let query = format!("select exists (select from {table} t where position($1 in t::text) > 0)");
        let there = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(text)
            .fetch_one(play.stack.database())
            .await?;
        if there {
            found.push(table);
        }
    }
    Ok(found)
}
