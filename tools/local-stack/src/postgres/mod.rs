//! A private PostgreSQL: one cluster for the process, one database for each stack. An installed
//! PostgreSQL is used if there is one, otherwise a package from npm.

mod cluster;
mod locate;
mod npm_package;
mod os_user;
mod template;

use std::time::Duration;

use crate::runtime;
use anyhow::{Context, Result};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, PgConnection, PgPool};

use cluster::Cluster;
pub use cluster::stop;
pub use template::Grants;

/// A database of one stack, with Supabase's objects and the project's migrations.
pub struct Database {
    name: String,
    grants: Grants,
    cluster: &'static Cluster,
    pool: PgPool,
    removed: bool,
}

impl Database {
    /// Creates a database from the template of these grants. The first call of a process starts the
    /// cluster.
    pub async fn create(grants: Grants) -> Result<Self> {
        let cluster = cluster::running().await?;
        let template = template::ensure_template(cluster, grants).await?;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        // The name needs no quoting. The owner of a database owns `public` in it.
        cluster.admin(&format!("create database {name} template {template} owner postgres")).await?;
        let pool = pool(cluster, &name).await?;
        Ok(Self { name, grants, cluster, pool, removed: false })
    }

    /// Connections as the superuser, to whom no policy and no grant applies.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The grants of its template.
    pub fn grants(&self) -> Grants {
        self.grants
    }

    /// Returns a connection URI of another role. Only the owner of the cluster's folder can use it.
    pub fn uri(&self, role: &str) -> String {
        self.cluster.uri(role, &self.name)
    }

    /// Opens a connection as another role.
    pub async fn connect(&self, role: &str) -> Result<PgConnection> {
        let options = self.cluster.options(role, &self.name);
        options.connect().await.with_context(|| format!("connecting to {} as {role}", self.name))
    }

    /// Returns the psql command that opens the database.
    pub fn psql(&self) -> String {
        self.cluster.psql(&self.name)
    }

    /// Drops the database, closing all connections, and waits for it.
    pub async fn remove(mut self) -> Result<()> {
        self.removed = true;
        remove(self.cluster, &self.name, &self.pool).await
    }
}

impl Drop for Database {
    /// A database takes ten megabytes, so that a failed test should not keep it until the end of
    /// the run.
    fn drop(&mut self) {
        if !self.removed {
            let (cluster, name, pool) = (self.cluster, self.name.clone(), self.pool.clone());
            runtime::spawn(async move { drop(remove(cluster, &name, &pool).await) });
        }
    }
}

async fn remove(cluster: &Cluster, name: &str, pool: &PgPool) -> Result<()> {
    pool.close().await;
    cluster.admin(&format!("drop database if exists {name} with (force)")).await
}

async fn pool(cluster: &Cluster, database: &str) -> Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(20))
        .connect_with(cluster.options(cluster::SUPERUSER, database))
        .await
        .with_context(|| format!("connecting to the database {database} of the private cluster"))
}
