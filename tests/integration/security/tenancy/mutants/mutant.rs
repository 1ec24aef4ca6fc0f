//! Breaking one thing, looking, and mending it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use super::statements;
use crate::security::tenancy::expectations::{Function, Table};
use crate::security::tenancy::probing::{locks, rpc};
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::rows::But;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{catalogue, direct, functions, rows, tables};

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
    /// At PostgREST, by a reader of each hidden column of this table.
    ReadingHidden(&'static Table, Who),
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
    /// One that a statement mends.
    pub fn mended(what: String, sql: String, undo: String, noticed: By) -> Self {
        Self { what, sql, undo: Some(undo), noticed }
    }

    /// A privilege too many.
    pub fn grant(privilege: &str, on: &str, role: &str, noticed: By) -> Self {
        let sql = format!("grant {privilege} on {on} to {role}");
        Self::mended(sql.clone(), sql, format!("revoke {privilege} on {on} from {role}"), noticed)
    }

    /// A privilege too few.
    pub fn revoke(privilege_on: &str, role: &str, noticed: By) -> Self {
        let sql = format!("revoke {privilege_on} from {role}");
        Self::mended(sql.clone(), sql, format!("grant {privilege_on} to {role}"), noticed)
    }

    /// What is noticed of it.
    async fn violations(&self, tenants: &Tenants) -> Result<Vec<String>> {
        rows::run(tenants, &self.sql).await.with_context(|| format!("breaking it: {}", self.what))?;
        let noticed = match &self.noticed {
            By::Reading(table, callers) => tables::reading(tenants, table, callers).await?,
            By::ReadingHidden(table, who) => reading_each(tenants, table, *who).await?,
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
            By::Waiting(function) => locks::violations(tenants, function).await?,
            By::Statements(table, callers) => direct::violations(tenants, table, callers).await?,
            By::Catalogue => {
                catalogue::first_violations(&mut *tenants.stack.database().acquire().await?).await?
            }
        };
        match &self.undo {
            Some(undo) => rows::run(tenants, undo).await?,
            None => rows::run(tenants, &statements::migrations()?).await?,
        }
        Ok(noticed)
    }
}

/// What is noticed by reading the hidden columns of a table, one by one; nothing, unless it is noticed by each.
async fn reading_each(tenants: &Tenants, table: &Table, who: Who) -> Result<Vec<String>> {
    let columns: Vec<&str> = table.hidden.split_whitespace().collect();
    let reading = columns.iter().map(|column| tables::reading_column(tenants, table, column, who));
    let found: Vec<String> = try_join_all(reading).await?.into_iter().flatten().collect();
    Ok(if found.len() == columns.len() { found } else { Vec::new() })
}

/// What mutants break: functions, policies, triggers and switches, word for word, and who was granted what.
async fn as_it_stands(tenants: &Tenants) -> Result<BTreeSet<String>> {
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

/// Tries all of them in one stack, one after the other, and then that nothing was left broken: that this stack is the one
/// in which the rules hold, as another test says of those like it.
pub async fn all_noticed(what: &str, tenants: Tenants, mutants: Vec<Mutant>) -> Result<()> {
    let before = (as_it_stands(&tenants).await?, rows::fingerprint(&tenants, But::Nothing).await?);
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
    let (stands, rows) = (as_it_stands(&tenants).await?, rows::fingerprint(&tenants, But::Nothing).await?);
    let changed: Vec<&str> = stands.symmetric_difference(&before.0).map(String::as_str).collect();
    ensure!(changed.is_empty() && rows == before.1, "left broken:\n{}", changed.join("\n"));
    let left = catalogue::violations(&mut *tenants.stack.database().acquire().await?).await?;
    ensure!(left.is_empty(), "left broken:\n{}", left.join("\n"));
    Ok(())
}
