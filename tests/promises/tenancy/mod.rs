//! No tenant sees or touches another's data: not by PostgREST directly, not by guessing, and whatever is granted on new
//! tables and functions by default.

mod catalogue;
mod direct;
mod functions;
mod guessing;
mod life;
mod mutants;
mod person;
mod rows;
mod rules;
mod tables;
mod tenants;
mod who;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use local_stack::lambda::Binaries;
use local_stack::postgres::Grants;
use local_stack::{Builder, World};

use crate::harness::trial_in;
use rules::{TABLES, every_function};
use tenants::Tenants;
use who::Who;

/// All of this room.
pub fn trials() -> Vec<Trial> {
    let (before, since) = (in_a_project(Grants::Before20261030), in_a_project(Grants::Since20261030));
    let mut trials = vec![
        trial_in("tenancy: the rules hold in a project of before 2026-10-30", before, rules_hold_by_default),
        trial_in("tenancy: the rules hold in a project since 2026-10-30", since.clone(), rules_hold),
        trial_in("tenancy: the rules hold for legacy keys", since, rules_hold_for_legacy_keys),
    ];
    trials.extend(guessing::trials());
    trials.extend(mutants::trials());
    trials
}

/// A world without functions: what is tried here is what they can't get between.
fn in_a_project(of: Grants) -> Builder {
    World::builder().binaries(Binaries::new()).default_grants(of)
}

/// Everything that is not as the rules say, as far as these callers can tell.
async fn violations(tenants: &Tenants, callers: &[Who]) -> Result<Vec<String>> {
    let mut found = catalogue::violations(&mut *tenants.world.database().acquire().await?).await?;
    for table in TABLES {
        found.extend(tables::reading(tenants, table, callers).await?);
        found.extend(tables::writing(tenants, table, callers).await?);
        found.extend(direct::violations(tenants, table, callers).await?);
    }
    for function in every_function() {
        found.extend(functions::violations(tenants, function, callers).await?);
    }
    Ok(found)
}

async fn rules_hold(world: World) -> Result<()> {
    hold(&Tenants::new(world).await?, Who::ALL).await
}

/// Only the defaults are others, and they grant to roles: one caller of each tells, and one from elsewhere.
async fn rules_hold_by_default(world: World) -> Result<()> {
    let callers = [Who::Nobody, Who::User, Who::OwnerElsewhere, Who::Service];
    hold(&Tenants::new(world).await?, &callers).await
}

/// Whoever shows a token shows the same as with newer keys.
async fn rules_hold_for_legacy_keys(world: World) -> Result<()> {
    let mut tenants = Tenants::new(world).await?;
    tenants.use_legacy_keys();
    hold(&tenants, &[Who::Nobody, Who::User, Who::Service]).await
}

async fn hold(tenants: &Tenants, callers: &[Who]) -> Result<()> {
    let found = violations(tenants, callers).await?;
    ensure!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    Ok(())
}
