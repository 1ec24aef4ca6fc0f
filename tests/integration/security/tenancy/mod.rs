//! No caller reads or changes data of another tenant: not by requests to PostgREST, not with known
//! ids, and with no default grant on new tables and functions.

mod callers;
mod catalogue;
mod expectations;
mod functions;
mod mutants;
mod person;
mod probing;
mod rows;
mod seed_calls;
mod statements;
mod tables;
mod tenants;

use anyhow::{Result, ensure};
use local_stack::lambda::Binaries;
use local_stack::postgres::Grants;
use local_stack::{Builder, LocalStack};

use callers::Caller;
use expectations::{TABLES, every_function};
use tenants::Tenants;

#[tokio::test]
async fn new_project_meets_expectations() -> Result<()> {
    let stack = without_functions(Grants::Since20261030).start().await?;
    expect_no_violations(&Tenants::new(stack).await?, Caller::ALL).await
}

/// Only the default grants differ. They are for roles, so one caller of each role suffices, and one
/// of another organisation.
#[tokio::test]
async fn project_before_2026_10_30_meets_expectations() -> Result<()> {
    let stack = without_functions(Grants::Before20261030).start().await?;
    let callers = [Caller::NoToken, Caller::User, Caller::OwnerOfOtherOrg, Caller::Service];
    expect_no_violations(&Tenants::new(stack).await?, &callers).await
}

#[tokio::test]
async fn legacy_keys_meet_expectations() -> Result<()> {
    let stack = without_functions(Grants::Since20261030).start().await?;
    let mut tenants = Tenants::new(stack).await?;
    tenants.use_legacy_keys();
    expect_no_violations(&tenants, &[Caller::NoToken, Caller::User, Caller::Service]).await
}

/// A stack without the Lambda functions, because these tests send their requests to PostgREST.
fn without_functions(grants: Grants) -> Builder {
    LocalStack::builder().binaries(Binaries::new()).default_grants(grants)
}

async fn expect_no_violations(tenants: &Tenants, callers: &[Caller]) -> Result<()> {
    let found = violations(tenants, callers).await?;
    ensure!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// Every difference from the expectations that these callers can observe.
async fn violations(tenants: &Tenants, callers: &[Caller]) -> Result<Vec<String>> {
    let mut found = catalogue::violations(&mut *tenants.stack.database().acquire().await?).await?;
    for table in TABLES {
        found.extend(tables::read_violations(tenants, table, callers).await?);
        found.extend(tables::write_violations(tenants, table, callers).await?);
        found.extend(statements::violations(tenants, table, callers).await?);
    }
    for function in every_function() {
        found.extend(functions::violations(tenants, function, callers).await?);
    }
    Ok(found)
}
