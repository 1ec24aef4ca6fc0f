//! The rules are tried on stacks that break them, one thing at a time. Each must be noticed, or the rules would prove
//! nothing.

mod bodies;
mod cross_tenant;
mod erasure;
mod grants;
mod mutant;
mod orchestrator;
mod policies;
mod predicates;
mod statements;

use anyhow::{Context, Result, ensure};
use local_stack::postgres::Grants;

use super::expectations::{Function, TABLES, Table, every_function};
use super::in_a_project;
use super::tenants::Tenants;
use mutant::all_noticed;

// NAME: tenancy: every grant too many or too few on a table is noticed
#[tokio::test]
async fn grants_on_tables() -> Result<()> {
    let stack = in_a_project(Grants::Before20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    let mut mutants = grants::on_tables(&tenants).await?;
    mutants.extend(grants::on_sequences(&tenants).await?);
    mutants.extend(grants::missing_on_tables());
    all_noticed("grants on tables", tenants, mutants).await
}

// NAME: tenancy: every grant on a hidden column is noticed
#[tokio::test]
async fn grants_on_columns() -> Result<()> {
    let stack = in_a_project(Grants::Before20261030).start().await?;
    all_noticed("hidden columns", Tenants::new(stack).await?, grants::on_hidden_columns()).await
}

// NAME: tenancy: every grant too many or too few on a function is noticed
#[tokio::test]
async fn grants_on_functions() -> Result<()> {
    let stack = in_a_project(Grants::Before20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    let mut mutants = grants::on_functions(&tenants).await?;
    mutants.extend(grants::missing_on_functions());
    mutants.extend(cross_tenant::all());
    all_noticed("functions", tenants, mutants).await
}

// NAME: tenancy: every policy and tenant check that is missing or weaker is noticed
#[tokio::test]
async fn policies_and_bodies() -> Result<()> {
    let stack = in_a_project(Grants::Since20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    bodies::hold_without_the_look(&tenants).await?;
    let mut mutants = policies::all(&tenants).await?;
    mutants.extend(bodies::all(&tenants).await?);
    all_noticed("policies and tenant checks", tenants, mutants).await
}

fn table(name: &str) -> Result<&'static Table> {
    TABLES
        .iter()
        .find(|table| table.name == name)
        .with_context(|| format!("there are no rules for the table {name}"))
}

/// One call of a function.
fn function(name: &str) -> Result<&'static Function> {
    calls(name)?.into_iter().next().with_context(|| format!("there are no rules for {name}"))
}

/// All calls of a function.
fn calls(name: &str) -> Result<Vec<&'static Function>> {
    let calls: Vec<_> = every_function().filter(|function| function.name == name).collect();
    ensure!(!calls.is_empty(), "there are no rules for {name}");
    Ok(calls)
}
