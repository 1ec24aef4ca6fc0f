//! The two generations of default grants are as different as they are in projects of the two ages.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::postgres::{Database, Grants};
use serde_json::json;

/// Makes a table as a migration would, and answers who may read it.
async fn readers(grants: Grants) -> Result<Vec<(String, bool)>> {
    let database = Database::create(grants).await?;
    let fresh = "set role postgres; create table public.fresh (n int); reset role";
    sqlx::raw_sql(fresh).execute(database.pool()).await?;
    let roles = "select rolname::text, has_table_privilege(oid, 'public.fresh', 'select') from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role') order by rolname";
    let readers = sqlx::query_as(roles).fetch_all(database.pool()).await?;
    database.remove().await?;
    Ok(readers)
}

// NAME: grants: before 2026-10-30 a new table is open to every role
#[tokio::test]
async fn open_table() -> Result<()> {
    let readers = readers(Grants::Before20261030).await?;
    assert!(readers.len() == 3 && readers.iter().all(|(_, may)| *may), "{readers:?}");
    Ok(())
}

// NAME: grants: since 2026-10-30 a new table is open to none
#[tokio::test]
async fn closed_table() -> Result<()> {
    let readers = readers(Grants::Since20261030).await?;
    assert!(readers.len() == 3 && readers.iter().all(|(_, may)| !may), "{readers:?}");
    Ok(())
}

// NAME: grants: databases of one cluster do not see each other
#[tokio::test]
async fn two_worlds() -> Result<()> {
    let (one, other) = tokio::try_join!(LocalStack::start(), LocalStack::start())?;
    let org_id = uuid::Uuid::new_v4();
    one.register_agent(org_id, "accounts_payable", "Accounts payable").await?;
    let count = |stack: LocalStack| async move {
        let rows: i64 =
            sqlx::query_scalar("select count(*) from public.agents").fetch_one(stack.database()).await?;
        stack.stop().await?;
        anyhow::Ok(json!(rows))
    };
    assert_eq!((count(one).await?, count(other).await?), (json!(1), json!(0)));
    Ok(())
}
