//! Applies a mutant, detects it, and reverts it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use super::migrations;
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{Function, Table};
use crate::security::tenancy::probing::{locks, rpc};
use crate::security::tenancy::rows::Except;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{catalogue, functions, rows, statements, tables};

pub struct Mutant {
    pub description: String,
    pub sql: String,
    /// The SQL that reverts the mutant. Without it, the migrations are applied again.
    pub undo: Option<String>,
    pub detector: Detector,
}

/// The test that must detect a mutant, with the callers that suffice.
pub enum Detector {
    /// Reads of a table by requests to PostgREST.
    Reading(&'static Table, &'static [Caller]),
    /// A read of each hidden column of a table by requests to PostgREST.
    ReadingHidden(&'static Table, Caller),
    /// Writes to a table by requests to PostgREST.
    Writing(&'static Table, &'static [Caller]),
    /// At least one of these calls of a function.
    Calling(Vec<&'static Function>, &'static [Caller]),
    /// Calls of a function with ids of others.
    UsingForeignIds(&'static Function),
    /// Calls of a function while rows of others are locked.
    WaitingForLocks(&'static Function),
    /// Statements in the database that the PostgREST-compatible server does not make.
    Statements(&'static Table, &'static [Caller]),
    /// The catalogue, because PostgREST does not expose the object.
    Catalogue,
}

impl Mutant {
    pub fn with_undo(description: String, sql: String, undo: String, detector: Detector) -> Self {
        Self { description, sql, undo: Some(undo), detector }
    }

    pub fn grant(privilege: &str, on: &str, role: &str, detector: Detector) -> Self {
        let sql = format!("grant {privilege} on {on} to {role}");
        Self::with_undo(sql.clone(), sql, format!("revoke {privilege} on {on} from {role}"), detector)
    }

    pub fn revoke(privilege_on: &str, role: &str, detector: Detector) -> Self {
        let sql = format!("revoke {privilege_on} from {role}");
        Self::with_undo(sql.clone(), sql, format!("grant {privilege_on} to {role}"), detector)
    }

    /// Applies the mutant, returns the violations, and reverts it.
    async fn violations(&self, tenants: &Tenants) -> Result<Vec<String>> {
        let applied = rows::execute(tenants, &self.sql).await;
        applied.with_context(|| format!("applying the mutant {}", self.description))?;
        let found = match &self.detector {
            Detector::Reading(table, callers) => tables::read_violations(tenants, table, callers).await?,
            Detector::ReadingHidden(table, caller) => read_each_column(tenants, table, *caller).await?,
            Detector::Writing(table, callers) => tables::write_violations(tenants, table, callers).await?,
            Detector::Calling(calls, callers) => {
                let mut found = Vec::new();
                for call in calls {
                    if found.is_empty() {
                        found = functions::violations(tenants, call, callers).await?;
                    }
                }
                found
            }
            Detector::UsingForeignIds(function) => {
                rpc::violations(tenants, |name| name == function.name).await?
            }
            Detector::WaitingForLocks(function) => locks::violations(tenants, function).await?,
            Detector::Statements(table, callers) => statements::violations(tenants, table, callers).await?,
            Detector::Catalogue => {
                catalogue::first_violations(&mut *tenants.stack.database().acquire().await?).await?
            }
        };
        match &self.undo {
            Some(undo) => rows::execute(tenants, undo).await?,
            None => rows::execute(tenants, &migrations::all()?).await?,
        }
        Ok(found)
    }
}

/// Applies the mutants one after another in the same stack. Afterwards, nothing may have changed.
pub async fn expect_detected(subject: &str, tenants: Tenants, mutants: Vec<Mutant>) -> Result<()> {
    let schema_before = schema(&tenants).await?;
    let rows_before = rows::fingerprint(&tenants, Except::Nothing).await?;
    let mut missed = Vec::new();
    for mutant in &mutants {
        if mutant.violations(&tenants).await?.is_empty() {
            missed.push(mutant.description.as_str());
        }
    }
    let (count, all) = (missed.len(), mutants.len());
    ensure!(count == 0, "{subject}: {count} of {all} mutants were not detected:\n{}", missed.join("\n"));
    let schema_after = schema(&tenants).await?;
    let changes: Vec<&str> = schema_after.symmetric_difference(&schema_before).map(String::as_str).collect();
    ensure!(changes.is_empty(), "{subject}: not reverted:\n{}", changes.join("\n"));
    let rows_after = rows::fingerprint(&tenants, Except::Nothing).await?;
    ensure!(rows_after == rows_before, "{subject}: rows were not restored");
    let found = catalogue::violations(&mut *tenants.stack.database().acquire().await?).await?;
    ensure!(found.is_empty(), "{subject}: not reverted:\n{}", found.join("\n"));
    Ok(())
}

/// The violations of reading each hidden column of a table. None if one column remains hidden.
async fn read_each_column(tenants: &Tenants, table: &Table, caller: Caller) -> Result<Vec<String>> {
    let columns: Vec<&str> = table.hidden.split_whitespace().collect();
    let reads = columns.iter().map(|column| tables::read_hidden_column(tenants, table, column, caller));
    let found: Vec<String> = try_join_all(reads).await?.into_iter().flatten().collect();
    Ok(if found.len() == columns.len() { found } else { Vec::new() })
}

/// Everything that a mutant can change: definitions of functions, policies and triggers, options of
/// tables and columns, and privileges.
async fn schema(tenants: &Tenants) -> Result<BTreeSet<String>> {
    let definitions = "
        select pg_get_functiondef(p.oid) from pg_proc as p
        where p.pronamespace in ('public'::regnamespace, 'chatkit_private'::regnamespace)
        union all
        select p::text from pg_policies as p where p.schemaname = 'public'
        union all
        select pg_get_triggerdef(t.oid) from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid and c.relnamespace = 'public'::regnamespace
        where not t.tgisinternal
        union all
        select concat_ws(' ', c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity) from pg_class as c
        where c.relnamespace = 'public'::regnamespace
        union all
        select concat_ws(' ', c.relname, a.attname, a.attstattarget) from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace
        where not a.attisdropped";
    let mut database = tenants.stack.database().acquire().await?;
    let definitions: Vec<String> = sqlx::query_scalar(definitions).fetch_all(&mut *database).await?;
    let mut all = catalogue::privileges(&mut database).await?;
    all.extend(definitions);
    Ok(all)
}
