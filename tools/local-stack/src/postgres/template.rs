//! A template for each generation of default grants: what Supabase brings, and then the project's migrations.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::OnceCell;

use super::cluster::{Cluster, SUPERUSER};
use crate::project;

/// Who is granted what on new tables and functions of `public`, when nothing is said: it depends on a project's age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grants {
    /// Projects from before 2026-10-30: everything, to every role of the API.
    Before20261030,
    /// Projects since then: nothing that is not granted explicitly.
    #[default]
    Since20261030,
}

impl Grants {
    fn template(self) -> &'static str {
        match self {
            Grants::Before20261030 => "template_before_2026_10_30",
            Grants::Since20261030 => "template_since_2026_10_30",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Grants::Before20261030 => "grants_before_2026_10_30.sql",
            Grants::Since20261030 => "grants_since_2026_10_30.sql",
        }
    }
}

static BEFORE: OnceCell<()> = OnceCell::const_new();
static SINCE: OnceCell<()> = OnceCell::const_new();

/// The name of the finished template, which the first caller makes.
pub async fn prepared(cluster: &Cluster, grants: Grants) -> Result<&'static str> {
    let done = match grants {
        Grants::Before20261030 => &BEFORE,
        Grants::Since20261030 => &SINCE,
    };
    done.get_or_try_init(|| prepare(cluster, grants)).await?;
    Ok(grants.template())
}

async fn prepare(cluster: &Cluster, grants: Grants) -> Result<()> {
    let name = grants.template();
    // A template that failed half-way is made again by the next caller.
    cluster.admin(&format!("drop database if exists {name}")).await?;
    cluster.admin(&format!("create database {name}")).await?;
    let supabase = project::root().join("tools/local-stack/src/supabase");
    let brought = [supabase.join("bootstrap.sql"), supabase.join(grants.file())];
    apply(cluster, SUPERUSER, name, &brought).await?;
    let migrations = migrations()?;
    apply(cluster, "postgres", name, &migrations).await?;
    note(cluster, name, &migrations).await
}

/// Keeps the history of migrations where the Supabase CLI keeps it, and as it does: by the timestamp, with the rest of the
/// file's name.
async fn note(cluster: &Cluster, database: &str, migrations: &[PathBuf]) -> Result<()> {
    let mut connection: PgConnection = cluster.options("postgres", database).connect().await?;
    let history = "create schema supabase_migrations;
        create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text)";
    connection.execute(sqlx::raw_sql(history)).await.context("making the history of migrations")?;
    for file in migrations {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let (version, name) = stem.split_once('_').with_context(|| format!("{stem} has no timestamp"))?;
        let row = "insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, $2, $3)";
        let statements = vec![fs::read_to_string(file)?];
        sqlx::query(row).bind(version).bind(statements).bind(name).execute(&mut connection).await?;
    }
    connection.close().await.context("closing the connection to the template")
}

/// The migrations, in the order of their timestamps.
fn migrations() -> Result<Vec<PathBuf>> {
    let folder = project::root().join("migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "there are no migrations in {}", folder.display());
    Ok(files)
}

/// Runs files as one role, over one connection, each as a whole.
async fn apply(cluster: &Cluster, role: &str, database: &str, files: &[PathBuf]) -> Result<()> {
    let mut connection: PgConnection = cluster.options(role, database).connect().await?;
    for file in files {
        let sql = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.with_context(|| format!("applying {}", file.display()))?;
    }
    // Databases can't be made from one that somebody is connected to.
    connection.close().await.context("closing the connection to the template")
}
