//! Mutation tests of the expectations: each mutant breaks one thing, and must be detected.

mod bodies;
mod chat;
mod erasure;
mod grants;
mod maintenance;
mod migrations;
mod mutant;
mod orchestrator;
mod policies;
mod sessions;
mod unknown_objects;

use anyhow::{Context, Result, ensure};
use local_stack::postgres::Grants;

use super::expectations::{Function, TABLES, Table, every_function};
use super::tenants::Tenants;
use super::without_functions;
use mutant::expect_detected;

#[tokio::test]
async fn wrong_grants_on_tables_are_detected() -> Result<()> {
    let stack = without_functions(Grants::Before20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    let mut mutants = grants::on_tables(&tenants).await?;
    mutants.extend(grants::on_sequences(&tenants).await?);
    mutants.extend(grants::missing_on_tables());
    expect_detected("grants on tables", tenants, mutants).await
}

#[tokio::test]
async fn grants_on_hidden_columns_are_detected() -> Result<()> {
    let stack = without_functions(Grants::Before20261030).start().await?;
    expect_detected("hidden columns", Tenants::new(stack).await?, grants::on_hidden_columns()).await
}

#[tokio::test]
async fn wrong_grants_on_functions_and_unknown_objects_are_detected() -> Result<()> {
    let stack = without_functions(Grants::Before20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    let mut mutants = grants::on_functions(&tenants).await?;
    mutants.extend(grants::missing_on_functions());
    mutants.extend(unknown_objects::all());
    expect_detected("functions and objects", tenants, mutants).await
}

#[tokio::test]
async fn weaker_policies_and_function_bodies_are_detected() -> Result<()> {
    let stack = without_functions(Grants::Since20261030).start().await?;
    let tenants = Tenants::new(stack).await?;
    bodies::expect_no_violations_without_policy_check(&tenants).await?;
    let mut mutants = policies::all(&tenants).await?;
    mutants.extend(bodies::all(&tenants).await?);
    expect_detected("policies and function bodies", tenants, mutants).await
}

fn table(name: &str) -> Result<&'static Table> {
    let table = TABLES.iter().find(|table| table.name == name);
    table.with_context(|| format!("the table {name} has no expectations"))
}

/// The first call of a function.
fn function(name: &str) -> Result<&'static Function> {
    calls(name)?.into_iter().next().with_context(|| format!("the function {name} has no expectations"))
}

fn calls(name: &str) -> Result<Vec<&'static Function>> {
    let calls: Vec<_> = every_function().filter(|function| function.name == name).collect();
    ensure!(!calls.is_empty(), "the function {name} has no expectations");
    Ok(calls)
}
