//! Mutants of the migrations: each lacks one statement.

use std::fs;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::postgres::Grants;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::security::tenancy::{catalogue, without_functions};
use crate::support::project_files::root;

#[tokio::test]
async fn each_statement_is_needed_in_project_before_2026_10_30() -> Result<()> {
    let stack = without_functions(Grants::Before20261030).start().await?;
    let statements =
        ["revoke ", "grant ", "create policy ", "alter table ", "drop function if exists public."];
    omit_each(&stack, &statements).await
}

/// The other statements do not depend on the default grants.
#[tokio::test]
async fn each_revocation_is_needed_in_new_project() -> Result<()> {
    let stack = without_functions(Grants::Since20261030).start().await?;
    omit_each(&stack, &["revoke "]).await
}

/// The migrations, which can be applied again and revert a mutant.
pub fn all() -> Result<String> {
    let all = texts()?.concat();
    Ok(format!("begin; set local client_min_messages = error; set local role postgres; {all} commit;"))
}

/// The migrations in their order.
fn texts() -> Result<Vec<String>> {
    let folder = root()?.join("migrations");
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.sort();
    files
        .iter()
        .map(|file| fs::read_to_string(file).with_context(|| format!("reading {}", file.display())))
        .collect()
}

/// Drops everything that the migrations create.
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

/// Statements that do not affect access.
const IGNORED: &[&str] = &["set (n_distinct"];

/// Applies the migrations once, in a transaction. Before each statement, it applies the rest
/// without the statement, searches for violations, and rolls back to this point.
async fn omit_each(stack: &LocalStack, beginnings: &[&str]) -> Result<()> {
    let texts = texts()?;
    let (mut count, mut missed) = (0, Vec::new());
    let mut database = stack.database().begin().await?;
    // The bodies of functions are not relevant, and their validation takes time.
    let options = "set local client_min_messages = error; set local check_function_bodies = off";
    apply(&mut database, &format!("{options}; set local role postgres; {CLEAR}")).await?;
    for (number, text) in texts.iter().enumerate() {
        let later_migrations = texts[number + 1..].concat();
        let mut applied = 0;
        for (position, statement) in statements(text, beginnings) {
            if IGNORED.iter().any(|part| statement.contains(part)) {
                continue;
            }
            count += 1;
            apply(&mut database, &text[applied..position]).await?;
            applied = position;
            let rest = &text[position + statement.len()..];
            // A later migration can drop the object, so the state before it counts, too.
            let is_detected =
                !violations_after(&mut database, &format!("{rest}{later_migrations}")).await?.is_empty()
                    || violations_after(&mut database, rest).await?
                        != violations_after(&mut database, &text[position..]).await?;
            if !is_detected {
                missed.push(statement);
            }
        }
        apply(&mut database, &text[applied..]).await?;
    }
    ensure!(count > 20, "expected more than 20 statements, found {count}");
    let missed_count = missed.len();
    ensure!(missed_count == 0, "{missed_count} of {count} were not detected:\n{}", missed.join("\n"));
    let found = catalogue::violations(&mut database).await?;
    ensure!(found.is_empty(), "violations with all statements:\n{}", found.join("\n"));
    Ok(())
}

/// The positions and texts of the statements that begin with one of these texts.
fn statements<'a>(text: &'a str, beginnings: &[&str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if beginnings.iter().any(|beginning| line.starts_with(beginning))
            && let Some(end) = text[position..].find(';')
        {
            found.push((position, &text[position..=position + end]));
        }
        position += line.len();
    }
    found
}

/// The violations after these statements, which are rolled back.
async fn violations_after(database: &mut PgConnection, statements: &str) -> Result<Vec<String>> {
    let mut transaction = database.begin().await?;
    apply(&mut transaction, statements).await?;
    let found = catalogue::first_violations(&mut transaction).await;
    transaction.rollback().await?;
    found
}

async fn apply(database: &mut PgConnection, statements: &str) -> Result<()> {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(database).await;
    outcome.context("applying the migrations")?;
    Ok(())
}
