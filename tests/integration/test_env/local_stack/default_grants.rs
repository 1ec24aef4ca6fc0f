//! Default grants of Supabase projects before and since 2026-10-30.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::postgres::{Database, Grants};
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn new_table_before_2026_10_30_is_open_to_every_role() -> Result<()> {
    let readers = readers(Grants::Before20261030).await?;
    assert!(readers.len() == 3 && readers.iter().all(|(_, may)| *may), "{readers:?}");
    Ok(())
}

#[tokio::test]
async fn new_table_since_2026_10_30_is_closed_to_every_role() -> Result<()> {
    let readers = readers(Grants::Since20261030).await?;
    assert!(readers.len() == 3 && readers.iter().all(|(_, may)| !may), "{readers:?}");
    Ok(())
}

#[tokio::test]
async fn databases_of_one_cluster_are_isolated() -> Result<()> {
    let (one, other) = tokio::try_join!(LocalStack::start(), LocalStack::start())?;
    one.register_agent(Uuid::new_v4(), "accounts_payable", "Accounts payable").await?;
    let count = |stack: LocalStack| async move {
        let rows: i64 =
            sqlx::query_scalar("select count(*) from public.agents").fetch_one(stack.database()).await?;
        stack.stop().await?;
        anyhow::Ok(json!(rows))
    };
    assert_eq!((count(one).await?, count(other).await?), (json!(1), json!(0)));
    Ok(())
}

/// Creates a table as a migration does. Returns whether each role may read it.
async fn readers(grants: Grants) -> Result<Vec<(String, bool)>> {
    let database = Database::create(grants).await?;
    let create = "set role postgres; create table public.fresh (n int); reset role";
    sqlx::raw_sql(create).execute(database.pool()).await?;
    let roles = "select rolname::text, has_table_privilege(oid, 'public.fresh', 'select') from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role') order by rolname";
    let readers = sqlx::query_as(roles).fetch_all(database.pool()).await?;
    database.remove().await?;
    Ok(readers)
}
