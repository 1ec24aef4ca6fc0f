//! The PostgreSQL cluster of this process, in a temporary folder. It listens on a socket in that
//! folder, so that no port can conflict.

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

/// The superuser, with its name at Supabase, where `postgres` has fewer rights.
pub const SUPERUSER: &str = "supabase_admin";

/// Part of the socket's name; no network port is opened.
const PORT: u16 = 5432;

/// Time limit for the start, which usually takes a tenth of a second.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The folder for the databases, instead of the one for temporary files.
const FOLDER_VARIABLE: &str = "LOCAL_STACK_DATABASE_FOLDER";

/// The longest path of a socket that every system accepts, without the socket's own name.
const MAX_SOCKET_FOLDER_LENGTH: usize = 80;

/// Without durability, because nothing outlives the process, and with limits for many small
/// databases.
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

pub struct Cluster {
    folder: PathBuf,
    server: Mutex<Option<Child>>,
}

static RUNNING: OnceCell<Cluster> = OnceCell::const_new();

/// Returns the cluster of this process. The first call starts it.
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

/// Stops the cluster, if it runs, and waits for it.
pub fn stop() -> Result<()> {
    let Some(cluster) = RUNNING.get() else { return Ok(()) };
    let server = cluster.server.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut server) = server else { return Ok(()) };
    // Immediate shutdown without a checkpoint: its files are removed next.
    let _ = kill_process(Pid::from_child(&server), Signal::QUIT);
    server.wait().context("waiting for PostgreSQL to exit")?;
    process_reaper::forget(server.id());
    Ok(())
}

impl Cluster {
    fn start() -> Result<Self> {
        let programs = locate::programs()?;
        let user = os_user::user()?;
        let folder = temporary_folder(user.is_some())?;
        process_reaper::remove_at_exit(&folder)?;
        if let Some(user) = user {
            user.chown(&folder)?;
        }
        initdb(&programs, &folder, user)?;

        let log = File::create(folder.join("log")).context("creating PostgreSQL's log file")?;
        let mut command = as_user(programs.path("postgres"), user);
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        command.args(["-p", &PORT.to_string()]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let server = command
            // Ctrl-C must reach only this process, which stops the cluster at its end.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("PostgreSQL's log file")?)
            .stderr(log)
            .spawn()
            .context("starting postgres")?;
        process_reaper::watch(server.id(), process_reaper::Termination::Quit)?;
        Ok(Self { folder, server: Mutex::new(Some(server)) })
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let error = match self.options(SUPERUSER, "postgres").connect().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let exit_status = match &mut *self.server.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(server) => server.try_wait()?,
                None => bail!("PostgreSQL was stopped during its start"),
            };
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if let Some(status) = exit_status {
                bail!("PostgreSQL exited during its start with {status}; its log:\n{}", log());
            }
            if started.elapsed() > START_TIMEOUT {
                return Err(anyhow!(error))
                    .with_context(|| format!("PostgreSQL does not accept connections; its log:\n{}", log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the options to connect to a database as a role.
    pub fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(PORT)
            .username(role)
            .database(database)
            .disable_statement_logging()
    }

    /// Returns the connection URI, with the socket's folder in place of a host.
    pub fn uri(&self, role: &str, database: &str) -> String {
        let folder =
            self.folder.to_string_lossy().replace('%', "%25").replace('/', "%2F").replace(' ', "%20");
        format!("postgres://{role}@{folder}:{PORT}/{database}")
    }

    /// Returns the psql command that opens a database.
    pub fn psql(&self, database: &str) -> String {
        format!("psql --host {} --username {SUPERUSER} {database}", self.folder.display())
    }

    /// Runs one statement outside the databases of the stacks.
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
        // The same collation on every machine. Access to the socket's folder is sufficient.
        .args(["--username", SUPERUSER, "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .context("running initdb")?;
    ensure!(answer.status.success(), "initdb failed: {}", String::from_utf8_lossy(&answer.stderr).trim());
    Ok(())
}

fn as_user(program: PathBuf, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    // PGDATA, PGPORT and similar variables belong to the user's own clusters.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.current_dir("/");
    if let Some(user) = user {
        user.run(&mut command);
    }
    command
}

/// Creates a folder that the cluster's user can reach, with a path short enough for a socket.
fn temporary_folder(for_another_user: bool) -> Result<PathBuf> {
    let wanted = std::env::var_os(FOLDER_VARIABLE).map_or_else(std::env::temp_dir, PathBuf::from);
    let fits = |base: &PathBuf| {
        let reachable = !for_another_user || cache::is_traversable_by_all(base);
        base.is_dir() && base.as_os_str().len() < MAX_SOCKET_FOLDER_LENGTH && reachable
    };
    let base = [wanted.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")].into_iter().find(fits);
    let base = base.with_context(|| {
        format!("PostgreSQL's user cannot reach a temporary folder ({})", wanted.display())
    })?;
    // Access to the folder permits connections as every role.
    let private = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("postgres-").permissions(private).tempdir_in(base);
    Ok(folder.context("creating a temporary folder")?.keep())
}
