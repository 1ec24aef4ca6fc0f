//! Template databases, one for each generation of default grants: Supabase's objects and the
//! project's migrations.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::OnceCell;

use super::cluster::{Cluster, SUPERUSER};
use crate::project;

/// The default grants on new tables and functions of `public`, which depend on the age of a
/// project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grants {
    /// Projects before 2026-10-30: all rights for every role of the API.
    Before20261030,
    /// Projects since then: explicit grants only.
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

/// Returns the name of the template database. The first call creates it.
pub async fn ensure_template(cluster: &Cluster, grants: Grants) -> Result<&'static str> {
    let done = match grants {
        Grants::Before20261030 => &BEFORE,
        Grants::Since20261030 => &SINCE,
    };
    done.get_or_try_init(|| create_template(cluster, grants)).await?;
    Ok(grants.template())
}

async fn create_template(cluster: &Cluster, grants: Grants) -> Result<()> {
    let name = grants.template();
    // The next call replaces a template whose creation failed.
    cluster.admin(&format!("drop database if exists {name}")).await?;
    cluster.admin(&format!("create database {name}")).await?;
    let supabase = project::root().join("tools/local-stack/src/supabase");
    let files = [supabase.join("bootstrap.sql"), supabase.join(grants.file())];
    apply(cluster, SUPERUSER, name, &files).await?;
    let migrations = migrations()?;
    apply(cluster, "postgres", name, &migrations).await?;
    record_migrations(cluster, name, &migrations).await
}

/// Records the migrations in the table and the format of the Supabase CLI: by timestamp, with the
/// rest of the file's name.
async fn record_migrations(cluster: &Cluster, database: &str, migrations: &[PathBuf]) -> Result<()> {
    let mut connection: PgConnection = cluster.options("postgres", database).connect().await?;
    let history = "create schema supabase_migrations;
        create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text)";
    connection.execute(sqlx::raw_sql(history)).await.context("creating the migration history")?;
    for file in migrations {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let (version, name) =
            stem.split_once('_').with_context(|| format!("the migration {stem} has no timestamp"))?;
        let row = "insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, $2, $3)";
        let statements = vec![fs::read_to_string(file)?];
        sqlx::query(row).bind(version).bind(statements).bind(name).execute(&mut connection).await?;
    }
    connection.close().await.context("closing the connection to the template")
}

/// Returns the migrations, in the order of their timestamps.
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

/// Runs files as one role over one connection.
async fn apply(cluster: &Cluster, role: &str, database: &str, files: &[PathBuf]) -> Result<()> {
    let mut connection: PgConnection = cluster.options(role, database).connect().await?;
    for file in files {
        let sql = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.with_context(|| format!("applying {}", file.display()))?;
    }
    // A template must not have open connections.
    connection.close().await.context("closing the connection to the template")
}
