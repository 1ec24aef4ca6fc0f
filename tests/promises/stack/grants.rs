//! The two generations of default grants are as different as they are in projects of the two ages.

use anyhow::Result;
use libtest_mimic::Trial;
use local_stack::World;
use local_stack::postgres::Grants;
use serde_json::json;

use crate::harness::{alone, trial_in};

pub fn trials() -> Vec<Trial> {
    let of = |grants| World::builder().default_grants(grants);
    vec![
        trial_in(
            "grants: before 2026-10-30 a new table is open to every role",
            of(Grants::Before20261030),
            open_table,
        ),
        trial_in(
            "grants: since 2026-10-30 a new table is open to none",
            of(Grants::Since20261030),
            closed_table,
        ),
        alone("grants: databases of one cluster do not see each other", two_worlds),
    ]
}

/// Makes a table as a migration would, and answers who may read it.
async fn readers(world: &World) -> Result<Vec<(String, bool)>> {
    sqlx::raw_sql("set role postgres; create table public.fresh (n int); reset role")
        .execute(world.database())
        .await?;
    let roles = "select rolname::text, has_table_privilege(oid, 'public.fresh', 'select') from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role') order by rolname";
    Ok(sqlx::query_as(roles).fetch_all(world.database()).await?)
}

async fn open_table(world: World) -> Result<()> {
    assert!(readers(&world).await?.iter().all(|(_, may)| *may));
    Ok(())
}

async fn closed_table(world: World) -> Result<()> {
    let readers = readers(&world).await?;
    assert_eq!(readers.len(), 3);
    assert!(readers.iter().all(|(_, may)| !may), "{readers:?}");
    Ok(())
}

async fn two_worlds() -> Result<()> {
    let (one, other) = tokio::try_join!(World::start(), World::start())?;
    let org_id = uuid::Uuid::new_v4();
    one.register_agent(org_id, "accounts_payable", "Accounts payable").await?;
    let count = |world: World| async move {
        let rows: i64 =
            sqlx::query_scalar("select count(*) from public.agents").fetch_one(world.database()).await?;
        world.stop().await?;
        anyhow::Ok(json!(rows))
    };
    assert_eq!((count(one).await?, count(other).await?), (json!(1), json!(0)));
    Ok(())
}
