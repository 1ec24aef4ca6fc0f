//! Breaking one thing, looking, and mending it.

use anyhow::{Context, Result, ensure};

use super::super::guessing::{rpc, waiting};
use super::super::rules::{Function, Table};
use super::super::tenants::Tenants;
use super::super::who::Who;
use super::super::{catalogue, direct, functions, rows, tables, violations};
use super::statements;

/// One thing that is broken.
pub struct Mutant {
    pub what: String,
    /// Breaks it.
    pub sql: String,
    /// Mends it, where the migrations, applied again, do not or take longer.
    pub undo: Option<String>,
    pub noticed: By,
}

/// Where it must be noticed. Fewer callers than all are asked where they suffice: what they find, all find.
pub enum By {
    /// At PostgREST, by readers of this table.
    Reading(&'static Table, &'static [Who]),
    /// At PostgREST, by a reader of this hidden column.
    ReadingColumn(&'static Table, &'static str, Who),
    /// At PostgREST, by writers to this table.
    Writing(&'static Table, &'static [Who]),
    /// At PostgREST, by callers of this function, in one of its calls.
    Calling(Vec<&'static Function>, &'static [Who]),
    /// At PostgREST, by the service that calls this function with ids of others.
    Guessing(&'static Function),
    /// At PostgREST, by the service that calls this function while somebody else's rows are locked.
    Waiting(&'static Function),
    /// At the database, by the same callers, since PostgREST's stand-in does not make the statement.
    Statements(&'static Table, &'static [Who]),
    /// In the catalogue, because PostgREST offers no way to use it.
    Catalogue,
}

impl Mutant {
    /// One that the migrations mend.
    pub fn new(what: String, sql: String, noticed: By) -> Self {
        Self { what, sql, undo: None, noticed }
    }

    /// A privilege too many.
    pub fn grant(privilege: &str, on: &str, role: &str, noticed: By) -> Self {
        let sql = format!("grant {privilege} on {on} to {role}");
        Self {
            what: sql.clone(),
            sql,
            undo: Some(format!("revoke {privilege} on {on} from {role}")),
            noticed,
        }
    }

    /// What is noticed of it.
    async fn violations(&self, tenants: &Tenants) -> Result<Vec<String>> {
        rows::run(tenants, &self.sql).await.with_context(|| format!("breaking it: {}", self.what))?;
        let noticed = match &self.noticed {
            By::Reading(table, callers) => tables::reading(tenants, table, callers).await?,
            By::ReadingColumn(table, column, who) => {
                Vec::from_iter(tables::reading_column(tenants, table, column, *who).await?)
            }
            By::Writing(table, callers) => tables::writing(tenants, table, callers).await?,
            By::Calling(calls, callers) => {
                let mut found = Vec::new();
                for call in calls {
                    if found.is_empty() {
                        found = functions::violations(tenants, call, callers).await?;
                    }
                }
                found
            }
            By::Guessing(function) => rpc::violations(tenants, |name| name == function.name).await?,
            By::Waiting(function) => waiting::violations(tenants, function).await?,
            By::Statements(table, callers) => direct::violations(tenants, table, callers).await?,
            By::Catalogue => catalogue::violations(tenants.world.database()).await?,
        };
        match &self.undo {
            Some(undo) => rows::run(tenants, undo).await?,
            None => rows::run(tenants, &statements::migrations()?).await?,
        }
        Ok(noticed)
    }
}

/// Tries all of them in one world, one after the other, and then that nothing was left broken.
pub async fn all_noticed(what: &str, tenants: Tenants, mutants: Vec<Mutant>) -> Result<()> {
    let before = catalogue::privileges(tenants.world.database()).await?;
    let mut missed = Vec::new();
    for mutant in &mutants {
        if mutant.violations(&tenants).await?.is_empty() {
            missed.push(mutant.what.as_str());
        }
    }
    let count = |by: fn(&By) -> bool| mutants.iter().filter(|mutant| by(&mutant.noticed)).count();
    let direct = count(|by| matches!(by, By::Statements(..)));
    let silent = count(|by| matches!(by, By::Catalogue));
    let (all, asked) = (mutants.len(), mutants.len() - direct - silent);
    eprintln!(
        "{what}: {all} broken; {asked} tried at PostgREST, {direct} at the database, {silent} in the catalogue"
    );
    ensure!(missed.is_empty(), "{} of {} not noticed:\n{}", missed.len(), mutants.len(), missed.join("\n"));
    ensure!(
        catalogue::privileges(tenants.world.database()).await? == before,
        "the grants are not as they were"
    );
    let left = violations(&tenants).await?;
    ensure!(left.is_empty(), "left broken:\n{}", left.join("\n"));
    Ok(())
}
