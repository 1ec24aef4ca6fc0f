//! `cargo bench-changes`: compares a poll of the change feed that finds nothing with the reads of
//! `GET /chatkit/sessions/{id}`, in an organisation of 1,000,000 sessions.
//!
//! The statements alternate in one connection of one run, so that the speed of the machine and other
//! load affect all of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::postgres::{Database, Grants};
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use super::statistics::median;
use crate::terminal::TextStyle;

/// Users among whom the sessions are distributed evenly.
const USERS: i32 = 10_000;

/// Number of measurements of each statement.
const ROUNDS: usize = 501;

/// The largest ratio of a poll's time to the reads of `GET /chatkit/sessions/{id}`. The row is
/// reported only: a poll also reads the claims and two tables.
const MAX_RATIO: f64 = 1.0;

/// What a caller reads: times are medians.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    buffers: u64,
}

/// The statements of a caller.
struct Statements {
    poll: String,
    /// Those of `GET /chatkit/sessions/{id}`.
    session: [String; 2],
    /// One row by its primary key, under the same policies.
    row: String,
}

/// Measures, prints the table, and fails if the limit is exceeded. The argument is another number of
/// sessions.
pub async fn run() -> Result<()> {
    let sessions: i32 = match std::env::args().nth(1) {
        Some(number) => number.parse().context("the argument is a number of sessions")?,
        None => 1_000_000,
    };
    let style = TextStyle::detect();
    println!("{}", style.dim(format!("Inserting {sessions} sessions …")));
    let database = Database::create(Grants::default()).await?;
    let org_id = Uuid::new_v4();
    let callers = [User::new(org_id, OrgRole::Member), User::new(org_id, OrgRole::Approver)];
    seed(database.pool(), org_id, &callers, sessions).await?;
    println!(
        "| caller   | scope        | poll    | session | ratio | row     | ratio | buffers: poll, session, row |"
    );
    println!(
        "| -------- | ------------ | ------- | ------- | ----- | ------- | ----- | --------------------------- |"
    );
    let mut exceeded = Vec::new();
    for (caller, role, scope) in [
        (&callers[0], "member", "own"),
        (&callers[1], "approver", "own"),
        (&callers[1], "approver", "organisation"),
    ] {
        let statements = Statements::of(database.pool(), caller, scope == "organisation").await?;
        let mut connection = database.connect("postgres").await?;
        become_caller(&mut connection, caller, role).await?;
        let [poll, session, row] = measure(&mut connection, &statements).await?;
        let ratio = |other: Cost| poll.time.as_secs_f64() / other.time.as_secs_f64();
        let line = format!(
            "| {role:<8} | {scope:<12} | {:>7} | {:>7} | {:>5.2} | {:>7} | {:>5.2} | {:<27} |",
            microseconds(poll),
            microseconds(session),
            ratio(session),
            microseconds(row),
            ratio(row),
            format!("{}, {}, {}", poll.buffers, session.buffers, row.buffers),
        );
        if ratio(session) > MAX_RATIO || poll.buffers > session.buffers {
            println!("{}", style.bad(&line));
            exceeded.push(format!("{role}, {scope}"));
        } else {
            println!("{line}");
        }
    }
    database.remove().await?;
    ensure!(exceeded.is_empty(), "a poll costs more than reading a session: {}", exceeded.join("; "));
    Ok(())
}

/// Inserts the callers and the sessions. Each caller has as many sessions as every other user.
async fn seed(pool: &PgPool, org_id: Uuid, callers: &[User], sessions: i32) -> Result<()> {
    let mut connection = pool.acquire().await?;
    // The rows are consistent, so their triggers and foreign keys need not be checked.
    sqlx::query("set session_replication_role = replica").execute(&mut *connection).await?;
    for caller in callers {
        let insert = "insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data)
            values ($1, 'authenticated', 'authenticated', $2, $3, '{}')";
        let insert = sqlx::query(insert).bind(caller.id).bind(caller.email()).bind(caller.app_metadata());
        insert.execute(&mut *connection).await?;
    }
    let ids: Vec<Uuid> = callers.iter().map(|caller| caller.id).collect();
    let users = "insert into public.chatkit_users (org_id, user_id)
        select $1, id from unnest($2::uuid[]) as id
        union all select $1, gen_random_uuid() from generate_series(1, $3)";
    sqlx::query(users).bind(org_id).bind(&ids).bind(USERS).execute(&mut *connection).await?;
    // Indexes are built faster than they grow.
    let indexes = "select format('public.%I', i.indexname), i.indexdef from pg_indexes as i
        where i.tablename = 'chat_sessions'
          and not exists (select from pg_constraint as c where c.conname = i.indexname)";
    let indexes: Vec<(String, String)> = sqlx::query_as(indexes).fetch_all(&mut *connection).await?;
    for (name, _) in &indexes {
        sqlx::query(AssertSqlSafe(format!("drop index {name}"))).execute(&mut *connection).await?;
    }
    let insert = "insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, provider)
        select gen_random_uuid(), $1, u.user_id, 'web', 'accounts_payable', 'openai_hosted'
        from (
          select user_id, row_number() over () - 1 as n from public.chatkit_users where org_id = $1
        ) as u
        join generate_series(1, $2) as n (n) on n.n % $3 = u.n";
    let users = USERS + i32::try_from(callers.len())?;
    sqlx::query(insert).bind(org_id).bind(sessions).bind(users).execute(&mut *connection).await?;
    for (_, definition) in indexes {
        sqlx::query(AssertSqlSafe(definition)).execute(&mut *connection).await?;
    }
    sqlx::query("reset session_replication_role").execute(&mut *connection).await?;
    sqlx::query("vacuum analyze").execute(&mut *connection).await?;
    Ok(())
}

impl Statements {
    async fn of(pool: &PgPool, caller: &User, whole_organisation: bool) -> Result<Self> {
        let id = "select id from public.chat_sessions where user_id = $1 limit 1";
        let id: Uuid = sqlx::query_scalar(id).bind(caller.id).fetch_one(pool).await?;
        let since = "select pg_current_snapshot()::text";
        let since: String = sqlx::query_scalar(since).fetch_one(pool).await?;
        let row = format!("select to_jsonb(s) from public.chat_sessions as s where s.id = '{id}'");
        let with_user = format!(
            "select to_jsonb(s) || to_jsonb(u) from public.chat_sessions as s
             left join lateral (
               select c.chatkit_user from public.chatkit_users as c
               where c.org_id = s.org_id and c.user_id = s.user_id
             ) as u on true
             where s.id = '{id}'"
        );
        Ok(Self {
            poll: format!("select public.list_changes('{since}', {whole_organisation})"),
            session: [with_user, format!("select public.session_details('{id}')")],
            row,
        })
    }
}

/// Gives the connection the role and the claims of a request.
async fn become_caller(connection: &mut PgConnection, caller: &User, role: &str) -> Result<()> {
    let claims = json!({ "sub": caller.id, "role": "authenticated",
        "app_metadata": { "org_id": caller.org_id, "org_role": role } });
    let set =
        "select set_config('request.jwt.claims', $1, false), set_config('role', 'authenticated', false)";
    sqlx::query(set).bind(claims.to_string()).execute(connection).await?;
    Ok(())
}

/// Returns the cost of a poll, of reading a session, and of reading a row.
async fn measure(connection: &mut PgConnection, statements: &Statements) -> Result<[Cost; 3]> {
    let Statements { poll, session: [with_user, details], row } = statements;
    let groups = [vec![poll], vec![with_user, details], vec![row]];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (group, times) in groups.iter().zip(&mut times) {
            let started = Instant::now();
            for statement in group {
                let found: Value =
                    sqlx::query_scalar(AssertSqlSafe(statement.as_str())).fetch_one(&mut *connection).await?;
                ensure!(found.is_object(), "{statement} found {found}");
            }
            // The first round reads the catalogue and prepares the statements.
            if round > 0 {
                times.push(started.elapsed());
            }
        }
    }
    let mut costs = [Cost { time: Duration::ZERO, buffers: 0 }; 3];
    for ((cost, group), times) in costs.iter_mut().zip(&groups).zip(times) {
        cost.time = median(times);
        for statement in group {
            cost.buffers += buffers(connection, statement).await?;
        }
    }
    Ok(costs)
}

async fn buffers(connection: &mut PgConnection, statement: &str) -> Result<u64> {
    let explain = format!("explain (analyze, buffers, timing off, format json) {statement}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(connection).await?;
    let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"))
}

fn microseconds(cost: Cost) -> String {
    format!("{} µs", cost.time.as_micros())
}
