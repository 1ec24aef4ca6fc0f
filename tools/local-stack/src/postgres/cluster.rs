//! The one private cluster of this process, in a temporary folder and reached by a socket in it: no port to race for.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tokio::sync::OnceCell;

use super::locate;
use super::locate::Programs;
use super::os_user;
use super::os_user::User;
use crate::{cache, process_reaper};

/// The superuser, under the name it has at Supabase; `postgres` is a lesser role there.
pub const SUPERUSER: &str = "supabase_admin";

/// No port of the network: only part of the socket's name.
const PORT: u16 = 5432;

/// How long a cluster may take to come up. Usually it is a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest path of a socket that every system accepts, less the socket's own name.
const LONGEST_SOCKET_FOLDER: usize = 80;

/// Durability is given up, since nothing here outlives the process; the rest is what many small databases need.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=300",
    "max_locks_per_transaction=128",
    "shared_buffers=128MB",
    "max_parallel_workers_per_gather=0",
    "autovacuum=off",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// A running cluster.
pub struct Cluster {
    folder: PathBuf,
    server: Mutex<Option<Child>>,
}

static RUNNING: OnceCell<Cluster> = OnceCell::const_new();

/// The cluster of this process, started by whoever asks first.
pub async fn running() -> Result<&'static Cluster> {
    RUNNING
        .get_or_try_init(|| async {
            let cluster =
                tokio::task::spawn_blocking(Cluster::start).await.context("starting PostgreSQL")??;
            cluster.wait_until_ready().await?;
            Ok(cluster)
        })
        .await
}

/// Ends the cluster, where one was started, and waits for it.
pub fn stop() -> Result<()> {
    let Some(cluster) = RUNNING.get() else { return Ok(()) };
    let server = cluster.server.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut server) = server else { return Ok(()) };
    // At once, without a checkpoint: its files are removed next.
    let _ = kill_process(Pid::from_child(&server), Signal::QUIT);
    server.wait().context("waiting for PostgreSQL to end")?;
    process_reaper::forget(server.id());
    Ok(())
}

impl Cluster {
    fn start() -> Result<Self> {
        let programs = locate::programs()?;
        let user = os_user::user()?;
        let folder = temporary_folder(user.is_some())?;
        process_reaper::remove(&folder)?;
        if let Some(user) = user {
            user.own(&folder)?;
        }
        initdb(&programs, &folder, user)?;

        let log = File::create(folder.join("log")).context("making PostgreSQL's log file")?;
        let mut command = as_user(programs.path("postgres"), user);
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        command.args(["-p", &PORT.to_string()]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let server = command
            // Ctrl-C in a terminal is for us; the cluster is ended when we are done.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("PostgreSQL's log file")?)
            .stderr(log)
            .spawn()
            .context("starting postgres")?;
        process_reaper::watch(server.id(), process_reaper::End::Quit)?;
        Ok(Self { folder, server: Mutex::new(Some(server)) })
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let refused = match self.options(SUPERUSER, "postgres").connect().await {
                Ok(_) => return Ok(()),
                Err(refused) => refused,
            };
            let ended = match &mut *self.server.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(server) => server.try_wait()?,
                None => bail!("PostgreSQL was stopped while it started"),
            };
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if let Some(status) = ended {
                bail!("PostgreSQL ended at its start with {status}; its log:\n{}", log());
            }
            if started.elapsed() > PATIENCE {
                return Err(anyhow!(refused))
                    .with_context(|| format!("PostgreSQL does not answer; its log:\n{}", log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How to connect as a role to a database.
    pub fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(PORT)
            .username(role)
            .database(database)
            .disable_statement_logging()
    }

    /// The same as a URI, with the socket's folder where a host name usually stands.
    pub fn uri(&self, role: &str, database: &str) -> String {
        let folder =
            self.folder.to_string_lossy().replace('%', "%25").replace('/', "%2F").replace(' ', "%20");
        format!("postgres://{role}@{folder}:{PORT}/{database}")
    }

    /// The command that opens a database for a person.
    pub fn psql(&self, database: &str) -> String {
        format!("psql --host {} --username {SUPERUSER} {database}", self.folder.display())
    }

    /// Runs one statement that is outside any of the databases.
    pub async fn admin(&self, statement: &str) -> Result<()> {
        let mut connection =
            self.options(SUPERUSER, "postgres").connect().await.context("connecting as superuser")?;
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())))
            .await
            .context(statement.to_owned())?;
        Ok(())
    }
}

fn initdb(programs: &Programs, folder: &Path, user: Option<User>) -> Result<()> {
    let answer = as_user(programs.path("initdb"), user)
        .arg("--pgdata")
        .arg(folder.join("data"))
        // The same order of text on every machine. Whoever can reach the socket's folder is trusted.
        .args(["--username", SUPERUSER, "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .context("running initdb")?;
    ensure!(answer.status.success(), "initdb failed: {}", String::from_utf8_lossy(&answer.stderr).trim());
    Ok(())
}

fn as_user(program: PathBuf, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    // PGDATA, PGPORT and the like are for the caller's own clusters.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.current_dir("/");
    if let Some(user) = user {
        user.run(&mut command);
    }
    command
}

/// A folder that the cluster's user can reach, with a path short enough for a socket.
fn temporary_folder(for_another_user: bool) -> Result<PathBuf> {
    let wanted = std::env::temp_dir();
    let fits = |base: &PathBuf| {
        let reachable = !for_another_user || cache::open_to_all(base);
        base.is_dir() && base.as_os_str().len() < LONGEST_SOCKET_FOLDER && reachable
    };
    let base = [wanted.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")].into_iter().find(fits);
    let base = base.with_context(|| {
        format!("PostgreSQL's user can't reach a temporary folder ({})", wanted.display())
    })?;
    // Whoever can enter it can connect as anybody.
    let private = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("postgres-").permissions(private).tempdir_in(base);
    Ok(folder.context("making a temporary folder")?.keep())
}
