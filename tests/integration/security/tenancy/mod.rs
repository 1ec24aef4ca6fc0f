//! No tenant sees or touches another's data: not by PostgREST directly, not by guessing, and whatever is granted on new
//! tables and functions by default.

mod catalogue;
mod direct;
mod expectations;
mod functions;
mod lifecycle;
mod mutants;
mod person;
mod probing;
mod roles;
mod rows;
mod tables;
mod tenants;

use anyhow::{Result, ensure};
use local_stack::lambda::Binaries;
use local_stack::postgres::Grants;
use local_stack::{Builder, LocalStack};

use expectations::{TABLES, every_function};
use roles::Who;
use tenants::Tenants;

/// A stack without functions: what is tried here is what they can't get between.
fn in_a_project(of: Grants) -> Builder {
    LocalStack::builder().binaries(Binaries::new()).default_grants(of)
}

/// Everything that is not as the rules say, as far as these callers can tell.
async fn violations(tenants: &Tenants, callers: &[Who]) -> Result<Vec<String>> {
    let mut found = catalogue::violations(&mut *tenants.stack.database().acquire().await?).await?;
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

// NAME: tenancy: the rules hold in a project since 2026-10-30
#[tokio::test]
async fn rules_hold() -> Result<()> {
    let stack = in_a_project(Grants::Since20261030).start().await?;
    hold(&Tenants::new(stack).await?, Who::ALL).await
}

// NAME: tenancy: the rules hold in a project of before 2026-10-30
/// Only the defaults are others, and they grant to roles: one caller of each tells, and one from elsewhere.
#[tokio::test]
async fn rules_hold_by_default() -> Result<()> {
    let stack = in_a_project(Grants::Before20261030).start().await?;
    let callers = [Who::Nobody, Who::User, Who::OwnerElsewhere, Who::Service];
    hold(&Tenants::new(stack).await?, &callers).await
}

// NAME: tenancy: the rules hold for legacy keys
/// Whoever shows a token shows the same as with newer keys.
#[tokio::test]
async fn rules_hold_for_legacy_keys() -> Result<()> {
    let stack = in_a_project(Grants::Since20261030).start().await?;
    let mut tenants = Tenants::new(stack).await?;
    tenants.use_legacy_keys();
    hold(&tenants, &[Who::Nobody, Who::User, Who::Service]).await
}

async fn hold(tenants: &Tenants, callers: &[Who]) -> Result<()> {
    let found = violations(tenants, callers).await?;
    ensure!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    Ok(())
}
