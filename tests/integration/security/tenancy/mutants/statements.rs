//! The migrations, less one statement at a time.

use crate::security::tenancy::in_a_project;
use local_stack::postgres::Grants;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::security::tenancy::catalogue;

/// Takes away all that the migrations made.
const CLEAR: &str = "
    drop schema chatkit_private cascade;
    do $$
    declare
      v_drop text;
    begin
      for v_drop in
        select format('drop table if exists %s cascade', oid::regclass) from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r'
        union all
        select format('drop function if exists %s', oid::regprocedure) from pg_proc
        where pronamespace = 'public'::regnamespace
      loop
        execute v_drop;
      end loop;
    end
    $$;";

/// The migrations' texts, in order.
fn texts() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.sort();
    files
        .iter()
        .map(|file| fs::read_to_string(file).with_context(|| format!("reading {}", file.display())))
        .collect()
}

/// The migrations, to be applied again. They may be applied twice, and mend what was broken in between.
pub fn migrations() -> Result<String> {
    let all = texts()?.concat();
    Ok(format!("begin; set local client_min_messages = error; set local role postgres; {all} commit;"))
}

/// The statements of a text that begin with one of these words, and where they do.
fn statements<'a>(text: &'a str, beginnings: &[&str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if beginnings.iter().any(|words| line.starts_with(words))
            && let Some(end) = text[at..].find(';')
        {
            found.push((at, &text[at..=at + end]));
        }
        at += line.len();
    }
    found
}

// NAME: tenancy: no grant, revocation, policy, switch or drop can be left out, before 2026-10-30
/// Neither what opens nor what closes something.
#[tokio::test]
async fn none_can_be_left_out() -> Result<()> {
    let stack = in_a_project(Grants::Before20261030).start().await?;
    let beginnings =
        ["revoke ", "grant ", "create policy ", "alter table ", "drop function if exists public."];
    leave_out_each(&stack, &beginnings).await
}

// NAME: tenancy: no revocation can be left out, since 2026-10-30
/// What else there is does not depend on a project's age.
#[tokio::test]
async fn no_revocation_can_be_left_out() -> Result<()> {
    let stack = in_a_project(Grants::Since20261030).start().await?;
    leave_out_each(&stack, &["revoke "]).await
}

/// What these do to a table opens and closes nothing. That it is done is another test's.
const SHAPING: &[&str] = &["set (n_distinct"];

/// All is applied once, in a transaction. Before each of these statements the rest is applied without it, looked at, and taken
/// back to go on from there.
async fn leave_out_each(stack: &LocalStack, beginnings: &[&str]) -> Result<()> {
    let texts = texts()?;
    let (mut tried, mut missed) = (0, Vec::new());
    let mut database = stack.database().begin().await?;
    // What stands in the functions is not looked at here.
    let quick = "set local client_min_messages = error; set local check_function_bodies = off";
    apply(&mut database, &format!("{quick}; set local role postgres; {CLEAR}")).await?;
    for (number, text) in texts.iter().enumerate() {
        let after = texts[number + 1..].concat();
        let mut applied = 0;
        for (at, statement) in statements(text, beginnings) {
            if SHAPING.iter().any(|words| statement.contains(words)) {
                continue;
            }
            tried += 1;
            apply(&mut database, &text[applied..at]).await?;
            applied = at;
            let rest = &text[at + statement.len()..];
            // What a later migration drops is there until that is applied.
            let noticed = !after_these(&mut database, &format!("{rest}{after}")).await?.is_empty()
                || after_these(&mut database, rest).await? != after_these(&mut database, &text[at..]).await?;
            if !noticed {
                missed.push(statement);
            }
        }
        apply(&mut database, &text[applied..]).await?;
    }
    eprintln!("{tried} statements left out of the migrations");
    ensure!(tried > 20, "only {tried} statements were found in the migrations");
    ensure!(missed.is_empty(), "{} of {tried} not noticed:\n{}", missed.len(), missed.join("\n"));
    let left = catalogue::violations(&mut database).await?;
    ensure!(left.is_empty(), "with all statements:\n{}", left.join("\n"));
    Ok(())
}

/// What the catalogue would have to say after these statements.
async fn after_these(database: &mut PgConnection, statements: &str) -> Result<Vec<String>> {
    let mut database = database.begin().await?;
    apply(&mut database, statements).await?;
    let found = catalogue::first_violations(&mut database).await;
    database.rollback().await?;
    found
}

async fn apply(database: &mut PgConnection, statements: &str) -> Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(database).await;
    done.context("applying the migrations")?;
    Ok(())
}
