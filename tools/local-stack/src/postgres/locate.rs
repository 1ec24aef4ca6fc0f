//! Which PostgreSQL to run: an installed one where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::npm_package;

/// `CREATE DATABASE … STRATEGY`, `security_invoker` views and what Supabase runs: 15 and up.
const OLDEST: u32 = 15;

/// The folder of the programs, or `npm` for the packaged ones even where PostgreSQL is installed.
const CHOICE: &str = "LOCAL_STACK_POSTGRES";

/// A PostgreSQL that can be started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder of `initdb` and `postgres`.
    pub folder: PathBuf,
}

impl Programs {
    /// One of the programs.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Finds an installed PostgreSQL, or gets one.
pub fn programs() -> Result<Programs> {
    match std::env::var_os(CHOICE) {
        Some(choice) if choice == "npm" => return npm_package::packaged(),
        Some(choice) => {
            let folder = PathBuf::from(choice);
            return usable(&folder).with_context(|| {
                format!("{CHOICE} names {}: no PostgreSQL {OLDEST}+ there", folder.display())
            });
        }
        None => {}
    }
    if let Some(found) = candidates().iter().find_map(|folder| usable(folder)) {
        return Ok(found);
    }
    npm_package::packaged().map_err(|why| {
        anyhow!(
            "no PostgreSQL {OLDEST} or newer was found (asked PG_CONFIG, pg_config, /usr/lib/postgresql, PATH), and none \
             could be fetched: {why:#}. Install it (Debian, Ubuntu: `apt install postgresql`; macOS: `brew install \
             postgresql`), or set {CHOICE} to the folder that holds `initdb` and `postgres`"
        )
    })
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for asked in [std::env::var_os("PG_CONFIG"), Some("pg_config".into())].into_iter().flatten() {
        if let Ok(answer) = Command::new(asked).arg("--bindir").output() {
            folders.push(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()));
        }
    }
    folders.extend(debian());
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders
}

/// Debian keeps each major version in a folder of its own, and off PATH. Newest first.
fn debian() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// The programs in this folder, where they are all there and new enough.
pub fn usable(folder: &Path) -> Option<Programs> {
    let programs = Programs { folder: folder.to_path_buf() };
    if !programs.path("initdb").is_file() {
        return None;
    }
    let answer = Command::new(programs.path("postgres")).arg("--version").output().ok()?;
    let version = major(&String::from_utf8_lossy(&answer.stdout))?;
    (version >= OLDEST).then_some(programs)
}

/// The major version in the line that `postgres --version` prints.
fn major(line: &str) -> Option<u32> {
    let number = line.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major("psql (PostgreSQL) 15.14\n"), None);
    }
}
