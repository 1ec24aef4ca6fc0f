//! The rules are tried on worlds that break them, one thing at a time. Each must be noticed, or the rules would prove
//! nothing.

mod bodies;
mod erasure;
mod grants;
mod mutant;
mod orchestrator;
mod policies;
mod statements;
mod strangers;
mod weaker;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use local_stack::World;
use local_stack::postgres::Grants;

use super::in_a_project;
use super::rules::{Function, TABLES, Table, every_function};
use super::tenants::Tenants;
use crate::harness::trial_in;
use mutant::all_noticed;

pub fn trials() -> Vec<Trial> {
    let (before, since) = (in_a_project(Grants::Before20261030), in_a_project(Grants::Since20261030));
    vec![
        trial_in(
            "tenancy: every grant too many or too few on a table is noticed",
            before.clone(),
            grants_on_tables,
        ),
        trial_in("tenancy: every grant on a hidden column is noticed", before.clone(), grants_on_columns),
        trial_in(
            "tenancy: every grant too many or too few on a function is noticed",
            before.clone(),
            grants_on_functions,
        ),
        trial_in(
            "tenancy: every policy and tenant check that is missing or weaker is noticed",
            since.clone(),
            policies_and_bodies,
        ),
        trial_in(
            "tenancy: no grant, revocation, policy, switch or drop can be left out, before 2026-10-30",
            before,
            statements::none_can_be_left_out,
        ),
        trial_in(
            "tenancy: no revocation can be left out, since 2026-10-30",
            since,
            statements::no_revocation_can_be_left_out,
        ),
    ]
}

async fn grants_on_tables(world: World) -> Result<()> {
    let tenants = Tenants::new(world).await?;
    let mut mutants = grants::on_tables(&tenants).await?;
    mutants.extend(grants::on_sequences(&tenants).await?);
    mutants.extend(grants::missing_on_tables());
    all_noticed("grants on tables", tenants, mutants).await
}

async fn grants_on_columns(world: World) -> Result<()> {
    all_noticed("hidden columns", Tenants::new(world).await?, grants::on_hidden_columns()).await
}

async fn grants_on_functions(world: World) -> Result<()> {
    let tenants = Tenants::new(world).await?;
    let mut mutants = grants::on_functions(&tenants).await?;
    mutants.extend(grants::missing_on_functions());
    mutants.extend(strangers::all());
    all_noticed("functions", tenants, mutants).await
}

async fn policies_and_bodies(world: World) -> Result<()> {
    let tenants = Tenants::new(world).await?;
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
